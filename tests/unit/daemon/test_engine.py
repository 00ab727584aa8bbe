"""The turn: nothing is said or done before it is stored; what cannot be stored is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mgpu.core.invariants import check_invariants
from mgpu.daemon.engine import RETRY_FIRST, RETRY_LAST
from mgpu.model.job import Ended, Running
from mgpu.store.base import Batch, StoreError, StoreFull, StoreReadOnly
from mgpu.store.memory import MemoryStore
from tests.unit.daemon.rig import Rig, a_submit


class TouchyStore(MemoryStore):
    """Keeps what it was given in order; fails as ``mood`` says."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.mood: Callable[[Batch], Exception | None] = lambda _batch: None

    def commit(self, batch: Batch) -> None:
        error = self.mood(batch)
        if error is not None:
            raise error
        self.log += [type(event).__name__ for event in batch.events]
        super().commit(batch)


def full_for_new_work(batch: Batch) -> Exception | None:
    return StoreFull("no space is left", "free some") if batch.new_work else None


def full(_batch: Batch) -> Exception | None:
    return StoreFull("no space is left", "free some")


@pytest.fixture
def store() -> TouchyStore:
    return TouchyStore()


@pytest.fixture
def rig(make_rig: Callable[..., Rig], store: TouchyStore) -> Rig:
    return make_rig(store=store, limits__request_burst=100_000)


def check_same(rig: Rig) -> None:
    """Memory holds what is stored, and is sound."""
    check_invariants(rig.scheduler._engine.world)
    assert {job.id: job for job in rig.store.load().jobs} == rig.active()


def test_an_answer_and_an_order_come_after_the_commit(rig: Rig, store: TouchyStore) -> None:
    client = rig.client()
    seen: list[tuple[bool, int]] = []

    def mood(_batch: Batch) -> Exception | None:
        seen.append((bool(client.take()), len(rig.launcher.started)))
        return None

    store.mood = mood
    client.send(a_submit())
    rig.settle()
    assert seen == [(False, 0)]
    assert store.log == ["Submitted", "Started"]
    assert client.take()
    assert rig.launcher.started


def test_requests_of_one_turn_share_one_commit(rig: Rig, store: TouchyStore) -> None:
    rig.submit()
    batches: list[Batch] = []
    store.mood = lambda batch: batches.append(batch)
    clients = [rig.client() for _ in range(5)]
    for number, client in enumerate(clients):
        client.send(a_submit(f"k{number}"))
    rig.settle()
    assert [len(batch.answers) for batch in batches] == [5]
    assert sorted(c.take()[0]["ok"]["first"] for c in clients) == [2, 3, 4, 5, 6]


def test_a_turn_without_events_is_not_stored(rig: Rig, store: TouchyStore) -> None:
    rig.submit()
    batches: list[Batch] = []
    store.mood = lambda batch: batches.append(batch)
    client = rig.client()
    client.ask({"op": "ping"}, {"op": "jobs"}, {"op": "info"}, {"op": "why", "jobs": [1]})
    assert not batches


def test_a_full_disk_refuses_submits_and_takes_the_rest(rig: Rig, store: TouchyStore) -> None:
    running = rig.submit()
    store.mood = full_for_new_work
    client, other = rig.client(), rig.client()
    client.send(a_submit("k"))
    other.send({"op": "cancel", "jobs": [running]})
    rig.settle()
    error = client.take()[0]["error"]
    assert (error["code"], error["hint"]) == ("StorageFull", "free some")
    assert other.take() == [{"ok": {"jobs": [[running, "cancelling"]]}}]
    check_same(rig)
    assert client.ask({"op": "jobs"})[-1] == {"ok": {"count": 1}}
    store.mood = lambda _batch: None
    assert client.one(a_submit("k"))["ok"]["first"] == 2
    check_same(rig)


@pytest.mark.parametrize("error", [StoreFull("full"), StoreReadOnly("read-only")])
def test_the_end_of_a_job_is_kept_until_it_can_be_stored(
    rig: Rig, store: TouchyStore, error: StoreError
) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    supervisor.runs()
    waiting = rig.submit(gpus=2)
    store.mood = lambda _batch: error
    supervisor.ends(5)
    assert isinstance(rig.active()[job].phase, Running)
    assert supervisor.hears() == []
    assert (waiting, 1) not in rig.launcher.started
    check_same(rig)
    rig.wait(RETRY_FIRST + 0.1)
    assert supervisor.hears() == []
    store.mood = lambda _batch: None
    rig.wait(RETRY_FIRST * 2 + 0.1)
    phase = rig.job(job).phase
    assert isinstance(phase, Ended)
    assert phase.code == 5
    assert [message["op"] for message in supervisor.hears()] == ["ack"]
    assert (waiting, 1) in rig.launcher.started
    check_same(rig)


def test_trying_again_grows_rarer_and_stays_bounded(rig: Rig, store: TouchyStore) -> None:
    tries: list[float] = []

    def mood(_batch: Batch) -> Exception | None:
        tries.append(rig.clock.now().boot)
        return StoreFull("full")

    job = rig.submit()
    rig.supervisor(job).runs()
    store.mood = mood
    rig.supervisor(job).ends()
    for _ in range(200):
        rig.wait(1)
    pauses = [b - a for a, b in zip(tries[1::2], tries[2::2], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_LAST
    assert len(tries) < 30


def test_a_full_disk_stops_no_answer_to_a_question(rig: Rig, store: TouchyStore) -> None:
    job = rig.submit()
    rig.supervisor(job).runs()
    store.mood = full
    rig.supervisor(job).ends()
    client = rig.client()
    assert "ok" in client.one({"op": "ping"})
    assert client.ask({"op": "jobs"})[-1] == {"ok": {"count": 1}}
    assert client.one({"op": "cancel", "jobs": [job]})["error"]["code"] == "StorageFull"


def test_a_store_that_may_have_stored_ends_the_process(rig: Rig, store: TouchyStore) -> None:
    store.mood = lambda _batch: StoreError("the disk fails")
    client = rig.client()
    client.send(a_submit())
    with pytest.raises(StoreError):
        rig.settle()
    assert client.take() == []


def test_a_payload_is_kept_as_long_as_one_of_its_jobs_is_active(
    rig: Rig, store: TouchyStore
) -> None:
    rig.submit(count=2, env=[b"SECRET=1"])
    assert b"SECRET" in store.payload(1)
    for job in (1, 2):
        assert b"SECRET" in store.payload(1)
        rig.supervisor(job).runs()
        rig.supervisor(job).ends()
    assert not store._payloads


def test_a_payload_is_kept_through_a_restart_and_a_failed_turn(
    rig: Rig, store: TouchyStore
) -> None:
    rig.submit(count=3, gpus=2)
    store.mood = full
    rig.client().one({"op": "cancel", "jobs": [2]})
    store.mood = lambda _batch: None
    rig.again()
    rig.client().one({"op": "cancel", "jobs": [2, 3]})
    assert [*store._payloads] == [1]
    rig.supervisor(1, 2).runs()
    rig.supervisor(1, 2).ends()
    assert not store._payloads


def test_a_back_off_wakes_the_engine(rig: Rig) -> None:
    job = rig.submit()
    rig.launcher.refuses((job, 1))
    due = min(d for d in rig.scheduler._engine.deadlines() if d is not None)
    assert due == pytest.approx(rig.clock.now().boot + 1)
    rig.wait(1)
    assert (job, 2) in rig.launcher.started


def test_at_rest_nothing_is_due(rig: Rig) -> None:
    rig.submit(count=5)
    for number in (1, 2):
        rig.supervisor(number).runs()
    assert [d for d in rig.scheduler._deadlines() if d is not None] == []


def test_gpus_that_are_gone_hold_their_jobs_and_start_none(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).runs()
    monitor = rig.scheduler._monitor
    monitor.stop()  # from here on, the test plays it
    inventory = monitor._last
    monitor._publish(inventory._replace(gpus=inventory.gpus[:1]))
    rig.settle()
    waiting = rig.submit()
    assert (waiting, 1) not in rig.launcher.started
    dark = tuple(replace(gpu, available=False, note="lost") for gpu in inventory.gpus)
    monitor._publish(inventory._replace(gpus=dark))
    rig.settle()
    rig.supervisor(job).ends()
    assert (waiting, 1) not in rig.launcher.started
    monitor._publish(inventory)
    rig.settle()
    assert (waiting, 1) in rig.launcher.started
