"""What a request costs its user: by its bytes, its jobs and the time it takes, and what is held."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mgpu.daemon import limits
from tests.lib.wire import frame
from tests.unit.daemon.rig import ALICE, BOB, Client, Rig, a_submit

BIG = 900_000
PING = {"op": "ping"}


def send_all(client: Client, data: bytes) -> None:
    """Send more than the socket's buffer takes, while the scheduler works."""
    client.sock.setblocking(False)
    while data:
        try:
            data = data[client.sock.send(data) :]
        except BlockingIOError:
            client.rig.settle()
        except (BrokenPipeError, ConnectionResetError):
            break
    client.rig.settle()


def script(size: int) -> bytes:
    return b"#!/bin/sh\n" + b"#" * size


def test_a_large_submission_leaves_less_for_the_next(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__request_burst=10, limits__requests_per_second=1)
    client = rig.client()
    for number in range(2):
        send_all(client, frame(a_submit(f"k{number}", script=script(7 * limits.BYTES_PER_TOKEN))))
    assert [*map(list, client.take())] == [["ok"], ["ok"]]  # the second one on credit
    assert client.ask(PING) == []
    rig.wait(5)
    assert client.take() == []
    rig.wait(3)
    assert "ok" in client.take()[0]


@pytest.mark.parametrize("op", ["cancel", "wait", "hold", "why", "starts", "jobs"])
def test_a_request_that_names_many_jobs_leaves_less(
    make_rig: Callable[..., Rig], op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOBS_PER_TOKEN", 10)
    rig = make_rig(limits__request_burst=3, limits__requests_per_second=1)
    client = rig.client()
    assert client.ask({"op": op, "jobs": [*range(1, 91)]})
    assert client.ask(PING) == []
    rig.wait(8)
    assert "ok" in client.take()[0]


def test_a_submission_of_many_jobs_leaves_less(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__request_burst=3, limits__requests_per_second=1)
    client = rig.client()
    assert "ok" in client.one(a_submit(count=4 * limits.JOBS_PER_TOKEN))
    assert client.ask(PING) == []


def test_what_the_scheduler_does_for_a_request_is_charged_by_its_time(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(limits__request_burst=10, limits__requests_per_second=1)
    engine = rig.scheduler._engine
    plain = engine._decide

    def slow(*args: object) -> object:
        rig.clock.forward(10 * limits.SECONDS_PER_TOKEN)
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_decide", slow)
    client = rig.client()
    assert "ok" in client.one(a_submit())
    assert client.ask(PING) == []


def test_one_user_has_so_many_bytes_of_requests_on_the_way(rig: Rig) -> None:
    half = frame(a_submit(script=script(700_000)))[: BIG // 2]
    clients = [rig.client() for _ in range(30)]
    for client in clients:
        send_all(client, half)
    told = [client.take() for client in clients]
    refused = [answers[0]["error"] for answers in told if answers]
    assert {error["code"] for error in refused} == {"LimitReached"}
    assert str(limits.UNANSWERED) in refused[0]["message"]
    held = rig.scheduler._server._ledger._accounts[ALICE].unanswered
    assert limits.UNANSWERED - len(half) < held <= limits.UNANSWERED
    bob = rig.client(BOB)
    send_all(bob, frame(a_submit(script=script(700_000))))
    assert "ok" in bob.take()[0]
    for client in clients:
        client.close()
    rig.settle()
    assert rig.scheduler._server._ledger._accounts[ALICE].unanswered == 0


def test_what_is_answered_is_held_no_more(rig: Rig) -> None:
    for number in range(20):
        client = rig.client()
        send_all(client, frame(a_submit(f"k{number}", script=script(700_000))))
        assert "ok" in client.take()[0]
    assert rig.scheduler._server._ledger._accounts[ALICE].unanswered == 0
