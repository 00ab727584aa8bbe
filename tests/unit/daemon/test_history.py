"""Questions about the history go to a process of their own, and nothing waits for it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mgpu.daemon import historian, history
from mgpu.protocol import link
from mgpu.store import files
from mgpu.store.base import StoreCorrupt
from mgpu.store.sqlite import open_store
from tests.lib.odd import Map
from tests.lib.waiting import eventually
from tests.unit.daemon.rig import ALICE, Client, Rig

BOB = ALICE + 1


@pytest.fixture
def rig(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A scheduler on a state on disk, in which a job of alice has ended and one runs."""
    (folder / "state").mkdir(exist_ok=True)
    store = open_store(folder / "state", 1e9)
    found = Rig(folder, monkeypatch, store=store)
    for number in (1, 2):
        found.submit(ALICE, name="secret", project="vision")
        found.supervisor(number).runs()
    found.wait(60)
    found.supervisor(1).ends(0)
    found.settle()
    yield found
    found.close()


def asked(client: Client, **fields: Any) -> list[Map]:
    client.send({"op": "stats", **fields})
    return answers(client)


def answers(client: Client) -> list[Map]:
    seen: list[Map] = []

    def more() -> list[Map]:
        client.rig.settle()
        seen.extend(client.take())
        return seen

    return eventually(more, until=lambda them: them and "part" not in them[-1])


def process_of(rig: Rig) -> object:
    rig.settle()
    return rig.scheduler._history._process


def rows(told: list[Map]) -> list[Map]:
    parts = [answer["part"] for answer in told[:-1]]
    return [dict(zip(part["fields"], row, strict=True)) for part in parts for row in part["rows"]]


def test_an_answer_that_no_descriptor_was_left_for_is_an_error(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_room(sock: socket.socket) -> tuple[Map, list[int]] | None:
        received = link.recv(sock)
        if received is not None:
            link.close(received[1])
        return (received[0], []) if received is not None else None

    with monkeypatch.context() as patch:
        patch.setattr(history, "link", SimpleNamespace(recv=without_room, send=link.send))
        (told,) = asked(rig.client(ALICE), tables=["runs"])
        assert "no descriptor left" in told["error"]["message"]
    assert len(rows(asked(rig.client(ALICE), tables=["runs"]))) == 2


def test_what_has_ended_and_what_runs_is_told(rig: Rig) -> None:
    told = asked(rig.client(ALICE), tables=["runs"])
    assert [(row["job"], row["state"], row["name"]) for row in rows(told)] == [
        (2, "RUNNING", "secret"),
        (1, "COMPLETED", "secret"),
    ]
    assert told[-1]["ok"]["until"] == rig.clock.at.wall + 1


def test_others_learn_sums_and_no_names(rig: Rig) -> None:
    told = asked(rig.client(BOB), tables=["user", "project", "top", "runs"])
    assert rows(told)[0]["user"] == f"u{ALICE}"
    assert "secret" not in str(told)
    assert "vision" not in str(told)


def test_with_private_usage_others_learn_nothing(rig: Rig) -> None:
    rig.scheduler._dispatcher.rules = rig.scheduler._dispatcher.rules._replace(own_usage=True)
    assert rows(asked(rig.client(BOB), tables=["user"])) == []
    assert rows(asked(rig.client(ALICE), tables=["user"])) != []
    assert rows(asked(rig.client(0, admin=True), tables=["user"])) != []


def test_other_requests_are_answered_meanwhile(rig: Rig) -> None:
    waiting, other = rig.client(ALICE), rig.client(BOB)
    waiting.send({"op": "stats", "tables": ["total"]})
    rig.settle()
    process = rig.scheduler._history._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    waiting2 = rig.client(ALICE)
    waiting2.send({"op": "stats", "tables": ["total"]})
    rig.settle()
    assert "ok" in other.one({"op": "ping"})
    os.kill(process.pid, signal.SIGCONT)
    assert "ok" in answers(waiting2)[-1]


def test_a_process_that_hangs_is_given_up(rig: Rig) -> None:
    client = rig.client(ALICE)
    asked(client, tables=["total"])
    process = rig.scheduler._history._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    client.send({"op": "stats", "tables": ["total"]})
    rig.settle()
    rig.wait(history.PATIENCE + 1)
    assert answers(client)[-1]["error"]["code"] == "LimitReached"
    assert "ok" in asked(client, tables=["total"])[-1]


def test_a_process_that_dies_is_replaced(rig: Rig) -> None:
    client = rig.client(ALICE)
    asked(client, tables=["total"])
    process = rig.scheduler._history._process
    assert process is not None
    process.kill()
    eventually(lambda: process_of(rig) is None)
    assert "ok" in asked(client, tables=["total"])[-1]


def killed(rig: Rig, client: Client) -> None:
    """The process dies with the question that it is about to answer, or that it was just asked."""
    process = eventually(lambda: process_of(rig))
    assert isinstance(process, subprocess.Popen)
    os.kill(process.pid, signal.SIGSTOP)
    client.send({"op": "stats", "tables": ["total"]})
    rig.settle()
    process.kill()
    process.wait()


def test_a_question_whose_process_dies_is_asked_once_again(rig: Rig) -> None:
    client = rig.client(ALICE)
    asked(client, tables=["total"])
    killed(rig, client)
    assert "ok" in answers(client)[-1]
    assert rig.scheduler._history._open == {}


def test_a_question_that_ends_each_process_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(_fd: int, _folder: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["/bin/false"]))
        return started[-1]

    monkeypatch.setattr(historian, "start", start)
    assert asked(rig.client(ALICE), tables=["total"])[-1]["error"]["code"] == "Internal"
    assert len(started) == 2


def test_a_question_that_no_descriptor_is_left_for_is_an_error_at_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_room(_name: str, _flags: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", without_room)
        for _ in range(history.MOST + 1):
            (told,) = asked(rig.client(ALICE), tables=["total"])
            assert told["error"]["code"] == "Internal"
            assert "Too many open files" in told["error"]["message"]
    assert "ok" in asked(rig.client(ALICE), tables=["total"])[-1]


def test_the_process_goes_when_nobody_asks(rig: Rig) -> None:
    asked(rig.client(ALICE), tables=["total"])
    rig.wait(history.IDLE + 1)
    assert rig.scheduler._history._process is None


def test_a_user_cannot_ask_without_end(rig: Rig) -> None:
    clients = [rig.client(ALICE) for _ in range(history.MOST + 1)]
    for client in clients:
        client.send({"op": "stats", "tables": ["total"]})
    told = [answers(client)[-1] for client in clients]
    assert sum("ok" in answer for answer in told) >= history.MOST
    assert rig.scheduler._history._open == {}


def test_a_large_state_is_checked_beside_the_work(
    rig: Rig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGE", 0)
    rig.scheduler._history.check(rig.clock.at)
    eventually(lambda: not (process_of(rig) and rig.scheduler._history._checking))
    assert not (folder / "state" / files.SUSPECTED).exists()


def test_a_question_does_not_wait_for_the_check(rig: Rig) -> None:
    rig.scheduler._history.check(rig.clock.at)
    process = rig.scheduler._history._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    assert "ok" in asked(rig.client(ALICE), tables=["total"])[-1]
    eventually(lambda: process_of(rig) and not rig.scheduler._history._checking)


def test_damage_that_is_found_makes_the_next_start_look_itself(rig: Rig, folder: Path) -> None:
    with pytest.raises(StoreCorrupt):
        rig.scheduler._damaged("page 7 is odd")
    assert (folder / "state" / files.SUSPECTED).exists()


def test_old_things_are_forgotten_a_little_at_a_time(rig: Rig) -> None:
    settings = {"history.jobs": 3600, "history.usage": 0, "history.events": 0}
    rig.scheduler._pruner.set_ages(settings)
    rig.wait(60)
    assert rig.store.job(1) is not None
    rig.wait(7300)
    assert rig.store.job(1) is None
    assert rig.store.runs(1) != []
    assert rig.store.job(2) is not None
