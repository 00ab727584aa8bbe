"""A client that takes its answer slowly, or not at all, costs little and nobody else anything."""

from __future__ import annotations

from collections.abc import Callable

from mgpu.daemon import limits, selection
from mgpu.protocol.messages import ListJobs
from mgpu.protocol.names import JOB_FIELDS
from tests.unit.daemon.rig import Rig


def test_a_slow_reader_of_a_big_listing_holds_little_memory(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__pending_per_user=100_000, limits__request_burst=1000)
    rig.submit(count=20_000)
    client = rig.client()
    client.send({"op": "jobs", "scope": "all"})
    rig.settle()
    (conn,) = rig.scheduler._server._connections.values()
    assert conn.streaming
    assert len(conn._out) < 2 * limits.SEND_AHEAD
    rows = 0
    while True:
        answers = client.take()
        rows += sum(len(a["part"]["rows"]) for a in answers if "part" in a)
        if any("ok" in answer for answer in answers):
            break
        assert not client.closed
        rig.settle()
        assert len(conn._out) < 2 * limits.SEND_AHEAD
    assert rows == 20_000
    assert answers[-1] == {"ok": {"count": 20_000}}


def test_one_listing_of_long_words_is_cut_into_small_messages(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(limits__pending_per_user=100_000, limits__request_burst=1000)
    rig.submit(count=2000, cwd=b"/" + b"\xff" * 4000, argv=[b"\xff" * 5000])
    client = rig.client()
    client.send({"op": "jobs", "scope": "all"})
    rig.settle()
    (conn,) = rig.scheduler._server._connections.values()
    assert len(conn._out) < 4 * limits.SEND_AHEAD


def test_a_reader_that_takes_nothing_for_a_minute_is_hung_up_on(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(limits__pending_per_user=100_000, limits__request_burst=1000)
    rig.submit(count=20_000)
    client = rig.client()
    client.send({"op": "jobs", "scope": "all"})
    rig.settle()
    rig.wait(limits.IDLE - 1)
    assert client.take()
    rig.settle()
    rig.wait(limits.IDLE - 1)
    assert rig.scheduler._server._connections
    rig.wait(2)
    assert not rig.scheduler._server._connections


def test_a_request_behind_a_listing_waits_for_its_end(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__pending_per_user=100_000, limits__request_burst=1000)
    rig.submit(count=5000)
    client = rig.client()
    answers = client.ask({"op": "jobs", "scope": "all"}, {"op": "ping"})
    while "version" not in answers[-1].get("ok", {}):
        rig.settle()
        answers += client.take()
    assert [*answers[0]["part"]["fields"]] == [*JOB_FIELDS]
    assert answers[-2] == {"ok": {"count": 5000}}


def test_ended_jobs_are_read_page_by_page(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__pending_per_user=100_000, limits__request_burst=1000)
    many = 3 * selection.PAGE + 7
    rig.submit(count=many, gpus=2)
    rig.client().one({"op": "cancel", "jobs": [*range(2, many + 1)]})
    listing = selection.choose(
        rig.scheduler._engine.world, rig.store, ListJobs(None, (), (), (), True, many - 5), None
    )
    assert [job.id for job in listing] == [1, *range(7, many + 1)]  # those that ended last
    *parts, last = rig.client().ask({"op": "jobs", "scope": "all", "ended": True})
    assert [row[0] for part in parts for row in part["part"]["rows"]] == [*range(1, many + 1)]
    assert last == {"ok": {"count": many}}
