"""What a request costs its user: by its bytes, its jobs and the time it takes, and what is held."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from mgpu.core import why
from mgpu.core.forecast import forecast
from mgpu.daemon import handle_queue, limits
from tests.lib.wire import frame
from tests.unit.daemon.outside import Map
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


def test_why_many_jobs_wait_takes_one_look_ahead(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []

    def counted(*args: Any) -> Any:
        looks.append(args)
        return forecast(*args)

    monkeypatch.setattr(handle_queue, "forecast", counted)
    monkeypatch.setattr(why, "forecast", counted)
    first = rig.submit(count=30, gpus=2, time_limit=60, requeue=False)
    rig.supervisor(first).runs()
    jobs, client = [*range(first, first + 30)], rig.client()
    told = client.one({"op": "why", "jobs": jobs})["ok"]["rows"]
    assert len(looks) == 1
    alone = [client.one({"op": "why", "jobs": [job]})["ok"]["rows"][0] for job in jobs]
    assert told == alone


# -- what is kept ------------------------------------------------------------------------------


def submit(rig: Rig, uid: int = ALICE, size: int = 600_000, **fields: Any) -> Map:
    """The answer to a submission with a script of that size, for jobs that wait."""
    client = rig.client(uid)
    wish = a_submit(os.urandom(8).hex(), gpus=2, script=script(size), **fields)
    send_all(client, frame(wish))
    (answer,) = client.take()
    client.close()
    rig.settle()
    return answer


def held(rig: Rig, uid: int = ALICE) -> int:
    counted: int = rig.scheduler._engine._payloads._held[uid]
    return counted


@pytest.fixture
def tight(make_rig: Callable[..., Rig]) -> Rig:
    """A scheduler that keeps 2 MiB for each user."""
    return make_rig(limits__request_burst=100_000, limits__kept_per_user=2)


def test_what_is_kept_of_a_users_jobs_has_a_bound(tight: Rig) -> None:
    firsts = [submit(tight)["ok"]["first"] for _ in range(3)]
    error = submit(tight)["error"]
    assert (error["code"], error["path"]) == ("LimitReached", "spec")
    assert f"keep {held(tight)} bytes" in error["message"]
    assert "limit of 2 MiB" in error["message"]
    assert "cancel some" in error["hint"]
    assert "ok" in submit(tight, BOB)
    tight.client().one({"op": "cancel", "jobs": firsts[1:2]})
    assert "ok" in submit(tight)
    assert "error" in submit(tight)


def test_jobs_of_one_submission_share_what_is_kept(tight: Rig) -> None:
    first = submit(tight, size=700_000, count=50)["ok"]["first"]
    submit(tight, size=700_000, array="0-99")
    assert 1_400_000 < held(tight) < 1_500_000
    tight.client().one({"op": "cancel", "jobs": [*range(first + 1, first + 50)]})
    assert held(tight) > 1_400_000
    tight.supervisor(first).runs()
    tight.supervisor(first).ends()
    assert held(tight) < 800_000


def test_a_recurring_job_is_kept_until_it_is_removed(tight: Rig) -> None:
    for _ in range(3):
        assert "ok" in submit(tight, cron="0 0 1 1 *")
    assert "error" in submit(tight, cron="0 0 1 1 *")
    assert "error" in submit(tight)
    tight.client().one({"op": "cron_change", "numbers": [2], "how": "remove"})
    assert "ok" in submit(tight)


def test_the_bound_outlives_the_scheduler(tight: Rig) -> None:
    submit(tight)
    submit(tight, cron="0 0 1 1 *")
    submit(tight)
    before = held(tight)
    tight.again()
    assert held(tight) == before > 0
    assert submit(tight)["error"]["code"] == "LimitReached"


def test_a_bound_that_was_lowered_refuses_new_jobs_alone(tight: Rig) -> None:
    firsts = [submit(tight)["ok"]["first"] for _ in range(3)]
    tight.settings["limits.kept_per_user"] = 1
    tight.again()
    assert submit(tight, size=0)["error"]["code"] == "LimitReached"
    assert "ok" in tight.client().one({"op": "cancel", "jobs": firsts[1:]})
    assert "ok" in submit(tight, size=0)


def test_a_refused_submission_keeps_nothing(tight: Rig) -> None:
    submit(tight)
    before = held(tight)
    assert submit(tight, dependency="afterok:99")["error"]["code"] == "UnknownJob"
    assert held(tight) == before


# -- what is on the way ------------------------------------------------------------------------


def test_one_user_has_so_many_bytes_of_requests_on_the_way(rig: Rig) -> None:
    half = frame(a_submit(script=script(700_000)))[: BIG // 2]
    clients = [rig.client() for _ in range(30)]
    for client in clients:
        send_all(client, half)
    told = [client.take() for client in clients]
    refused = [answers[0]["error"] for answers in told if answers]
    assert {error["code"] for error in refused} == {"LimitReached"}
    assert str(limits.UNANSWERED) in refused[0]["message"]
    unanswered = rig.scheduler._server._ledger._accounts[ALICE].unanswered
    assert limits.UNANSWERED - len(half) < unanswered <= limits.UNANSWERED
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
