"""Orders of the scheduler, good and bad, and what the launcher clears away."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from tests.lib import processes
from tests.lib.fake_scheduler import FakeScheduler, order_of
from tests.lib.users import SERVICE_USER, User, find
from tests.lib.waiting import eventually


@pytest.fixture
def scheduler(users: object) -> Iterator[FakeScheduler]:
    with FakeScheduler() as found:
        yield found


@pytest.fixture(scope="module")
def refusing(users: object) -> Iterator[FakeScheduler]:
    """For orders that are all refused, which can share it."""
    with FakeScheduler() as found:
        yield found


@pytest.mark.parametrize(
    "change",
    [
        {"limit": -1},
        {"limit": True},
        {"grace": "1"},
        {"gpus": [0]},
        {"gpus": [0], "uuids": ["GPU-a"]},
        {"gpus": [0], "uuids": ["GPU-a"], "minors": [-2]},
        {"gpus": [True], "uuids": ["GPU-a"], "minors": [0]},
        {"gpus": [0], "uuids": ["GPU a,b"], "minors": [0]},
        {"capabilities": [-2]},
        {"capabilities": [1 << 20]},
        {"capabilities": 3},
        {"warn": [0, 5]},
        {"warn": [10]},
        {"user": ""},
        {"user": "a\0b"},
        {"restarts": 1.5},
        {"gpu_mem": "all"},
    ],
    ids=repr,
)
def test_bad_fields_are_refused(
    refusing: FakeScheduler, alice: User, change: dict[str, Any]
) -> None:
    refusing.start(1, alice, ["/bin/true"], **change)
    answer = refusing.hear("refused")
    assert (answer["stage"], answer["transient"]) == ("order", False)


def test_an_order_that_cannot_be_passed_on_is_refused(
    scheduler: FakeScheduler, alice: User
) -> None:
    """What nobody asks for is passed on too, and here its numbers grow."""
    order = msgpack.packb(order_of(1, 1, alice, {"junk": None}))
    junk = msgpack.packb([1.5] * 11_000, use_single_float=True)
    payload = os.memfd_create("payload")
    near, far = socket.socketpair()
    with near, far:
        assert scheduler.link is not None
        socket.send_fds(scheduler.link, [order[:-1] + junk], [payload, far.fileno()])
        answer = scheduler.hear("refused")
    os.close(payload)
    assert (answer["stage"], answer["transient"]) == ("order", False)
    assert scheduler.start(2, alice, ["/bin/true"]).end()["code"] == 0


def test_what_cannot_be_started_is_not_told_by_root(scheduler: FakeScheduler, alice: User) -> None:
    scheduler.group(1).mkdir()
    run = scheduler.start(1, alice, ["/bin/true"])
    assert run.until("refused")["stage"] == "prepare"

    def uids() -> list[int]:
        others = [p for p in processes.running().values() if p.parent == scheduler.pid]
        return sorted(p.uid for p in others if p.pid != scheduler.stub_pid)

    # The next spare is root's, as it must be.
    eventually(uids, until=lambda found: found == [0, find(SERVICE_USER).uid])
    run.ack()


def test_descriptors_must_be_what_they_are_said_to_be(
    scheduler: FakeScheduler, alice: User
) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for fds in ([], [null], [null, null], [null, null, null, null]):
        scheduler.say(order_of(1, 1, alice, {}), fds)
        assert scheduler.hear("refused")["stage"] == "order"
    os.close(null)
    before = len(os.listdir(f"/proc/{scheduler.pid}/fd"))
    assert scheduler.start(2, alice, ["/bin/true"]).end()["code"] == 0
    eventually(
        lambda: len(os.listdir(f"/proc/{scheduler.pid}/fd")),
        until=lambda count: count <= before + 1,
    )


def test_an_attempt_is_started_once(scheduler: FakeScheduler, alice: User) -> None:
    first = scheduler.start(1, alice, ["sleep", "600"])  # job
    first.until("running")
    scheduler.start(1, alice, ["sleep", "600"])  # job
    assert scheduler.hear("refused")["errno"] == 17
    first.stop()
    first.end()


def test_a_fork_that_fails_is_tried_again_by_the_scheduler(alice: User) -> None:
    scheduler = FakeScheduler()
    scheduler.preamble += (
        "\nimport errno\nfrom mgpu.privileged import birth\n"
        "def no(place): raise OSError(errno.EAGAIN, 'no')\n"
        "birth.fork = no"
    )
    scheduler.launch()
    try:
        scheduler.start(1, alice, ["/bin/true"])
        answer = scheduler.hear("refused")
        assert (answer["stage"], answer["transient"]) == ("fork", True)
    finally:
        scheduler.close()


def test_a_dead_spare_costs_nothing(scheduler: FakeScheduler, alice: User) -> None:
    spare = scheduler.spare()
    os.kill(scheduler.pid, signal.SIGSTOP)
    os.kill(spare, signal.SIGKILL)
    eventually(lambda: not processes.alive(spare), what="the spare is dead")
    run = scheduler.start(1, alice, ["/bin/true"])
    os.kill(scheduler.pid, signal.SIGCONT)
    assert run.end()["code"] == 0
    assert scheduler.spare() != spare


def test_what_earlier_lives_left_is_swept(scheduler: FakeScheduler, alice: User) -> None:
    """An empty cgroup and a script of nobody go; those of a running job stay until it ends."""
    run = scheduler.start(1, alice, payload={"script": b"#!/bin/sh\nsleep 600\n"})
    run.until("running")
    scheduler.kill9()
    scheduler.group(7).mkdir()
    (scheduler.runtime / "scripts" / "7.1").write_text("")
    scheduler.launch()
    assert not scheduler.group(7).exists()
    assert os.listdir(scheduler.runtime / "scripts") == ["1.1"]
    adopted = scheduler.adopt(1)
    adopted.until("running")
    adopted.stop()
    adopted.end()
    scripts = scheduler.runtime / "scripts"
    eventually(lambda: os.listdir(scripts), until=lambda left: left == [], what="no script")


def test_a_name_service_that_hangs_holds_up_nothing(users: object, alice: User) -> None:
    preamble = (
        "from mgpu.privileged import accounts, workers\n"
        "import select\n"
        "workers.ANSWER_SECONDS = 0.3\n"
        "accounts.answer = lambda *_: select.select([], [], [], 600)"
    )
    scheduler = FakeScheduler(preamble=preamble)
    scheduler.launch()
    try:
        scheduler.say({"op": "account", "uid": alice.uid})
        assert scheduler.start(1, alice, ["/bin/true"]).end()["code"] == 0
        answer = scheduler.hear("account")
        assert (answer["user"], "did not answer" in answer["problem"]) == ("", True)
    finally:
        scheduler.close()
