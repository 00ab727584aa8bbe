"""What every store does: the same tests run on SQLite and on the one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mgpu.model import events as ev
from mgpu.model.events import CancelRequested, Finished, Held, PriorityChanged, Started
from mgpu.model.job import Ended, Job
from mgpu.model.records import Quota
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now
from mgpu.store.base import (
    ANSWERS_KEPT,
    ANSWERS_SLACK,
    Batch,
    JobFilter,
    Leftover,
    Outcome,
    Store,
    StoreCorrupt,
)
from mgpu.store.memory import MemoryStore
from mgpu.store.sqlite import open_store
from tests.lib.samples import (
    EVENTS,
    NEEDS,
    NOW,
    PHASES,
    RECORDS,
    RUN_SAMPLES,
    TASKS,
    job,
    spec,
    submitted,
)

AT = NOW.wall


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else open_store(tmp_path, AT)
    yield made
    made.close()


def submit(store: Store, *jobs: Job) -> None:
    events = [submitted(one) for one in jobs]
    store.commit(Batch(AT, events, jobs, {one.spec.spec_id: b"payload" for one in jobs}))


def ended(job_id: int, at: float, state: str = "COMPLETED", **fields: object) -> Job:
    return job(job_id, Ended(state, at), **fields)


def test_a_new_store_is_empty(store: Store) -> None:
    loaded = store.load()
    assert (loaded.jobs, loaded.next_id, loaded.next_seq, loaded.boot_id) == ([], 1, 1, "")
    assert store.job(1) is None
    assert store.find(JobFilter()) == []
    assert store.history() == []


@pytest.mark.parametrize("name", sorted(PHASES))
def test_a_job_comes_back_as_it_was(store: Store, name: str) -> None:
    kept = job(5, PHASES[name], priority=-3, attempt=2, restarts=1, deferrals=4, seq=99)
    submit(store, kept)
    assert store.job(5) == kept
    active = [] if isinstance(kept.phase, Ended) else [kept]
    assert store.load().jobs == active


def test_what_few_jobs_have_comes_back(store: Store) -> None:
    rare = [
        job(1, array=1, tasks=TASKS, held="admin", begin=99.5, needs=NEEDS),
        job(2, PHASES["Running"], array=1, tasks=Tasks(((6, 6, 1),)), extension=60),
        job(3, Ended("FAILED", 20.0), failures=3, crashes=2),
    ]
    submit(store, *rare)
    assert [store.job(one.id) for one in rare] == rare
    assert store.load().jobs == rare[:2]
    assert store.find(JobFilter()) == rare[2:]


def test_records_come_back_by_kind_and_key(store: Store) -> None:
    kept = {(type(one).__name__, one.key): one for one in RECORDS.values()}
    store.commit(Batch(AT, records=kept))
    assert store.load().records == [kept[name] for name in sorted(kept)]


def test_a_record_is_replaced_and_removed(store: Store) -> None:
    first, second, third = Quota("user:a", 1), Quota("user:a", 2), Quota("user:b", 3)
    store.commit(Batch(AT, records={("Quota", "user:a"): first, ("Quota", "user:b"): third}))
    store.commit(Batch(AT, records={("Quota", "user:a"): second, ("Quota", "user:b"): None}))
    assert store.load().records == [second]
    store.commit(Batch(AT, records={("Quota", "none"): None}))
    assert store.load().records == [second]


def test_the_newest_submissions_of_a_user_are_found(store: Store) -> None:
    submit(
        store,
        ended(1, 50.0),
        ended(2, 20.0),
        ended(3, 30.0, uid=1002),
        ended(4, 40.0, array=4, tasks=Tasks.only(3)),
        ended(5, 60.0, array=4, tasks=Tasks.only(0)),
        job(6),
    )
    assert store.newest(1001, 9) == [4, 2, 1]
    assert store.newest(1001, 2) == [4, 2]
    assert store.newest(7, 2) == []


def test_the_ends_of_an_array_are_found_by_task(store: Store) -> None:
    array = (
        ended(4, 40.0, "CANCELLED", array=4, tasks=Tasks(((3, 8, 1),))),
        ended(5, 60.0, array=4, tasks=Tasks.only(0)),
        ended(6, 61.0, "FAILED", array=4, tasks=Tasks.only(1)),
        job(7, array=4, tasks=Tasks.only(2)),
        ended(8, 60.0, array=8, tasks=Tasks.only(0)),
    )
    submit(store, *array, ended(9, 60.0))
    rest = Outcome(Tasks(((3, 8, 1),)), "CANCELLED", 40.0)
    failed = Outcome(Tasks.only(1), "FAILED", 61.0)
    assert sorted(store.outcomes(4), key=str) == sorted(
        [rest, Outcome(Tasks.only(0), "COMPLETED", 60.0), failed], key=str
    )
    assert store.outcomes(4, 1) == [failed]
    assert store.outcomes(4, 5) == [rest]
    assert store.outcomes(4, 2) == store.outcomes(0) == store.outcomes(9) == []


def test_active_jobs_load_in_order_of_their_ids(store: Store) -> None:
    submit(store, job(3), job(1), job(2, PHASES["Running"]), ended(4, 20.0))
    assert [one.id for one in store.load().jobs] == [1, 2, 3]


def test_a_later_record_replaces_the_earlier_one(store: Store) -> None:
    submit(store, job(1))
    running = job(1, PHASES["Running"], attempt=1)
    store.commit(Batch(AT, [Started(NOW, 1, 1, ("GPU-1",))], [running]))
    assert store.load().jobs == [running]


def test_what_was_stored_does_not_change_with_the_record(store: Store) -> None:
    one = job(1)
    submit(store, one)
    one.priority = 100
    assert store.load().jobs[0].priority == 0
    store.load().jobs[0].priority = 50
    assert store.load().jobs[0].priority == 0


def test_jobs_of_one_submission_share_their_spec(store: Store) -> None:
    shared = spec(1)
    tasks = [job(i, spec=shared) for i in range(1, 6)]
    store.commit(Batch(AT, [submitted(tasks[0], count=5)], tasks))
    specs = {id(one.spec) for one in store.load().jobs}
    assert len(specs) == 1


def test_ids_are_not_given_out_again(store: Store) -> None:
    submit(store, job(8))
    store.commit(Batch(AT, [Finished(NOW, 8, 0, "CANCELLED")], [ended(8, 20.0)]))
    assert store.load().next_id == 9


def test_the_next_place_in_the_queue_is_after_all_others(store: Store) -> None:
    submit(store, job(1, seq=40), job(2, seq=7))
    assert store.load().next_seq == 41


def test_meta_values_come_back(store: Store) -> None:
    store.commit(Batch(AT, meta={"boot_id": "b-1"}))
    store.commit(Batch(AT, meta={"boot_id": "b-2"}))
    assert store.load().boot_id == "b-2"


def test_a_payload_that_is_left_is_told_until_it_is_dropped(store: Store) -> None:
    submit(store, job(1, spec=spec(1)), job(2, spec=spec(2)))
    ends = [CancelRequested(NOW, number, 1001) for number in (1, 2)]
    store.commit(Batch(AT + 1, ends[:1], [ended(1, 20.0, spec=spec(1))], leave_payloads=[1]))
    store.commit(Batch(AT + 2, ends[1:], [ended(2, 20.0, spec=spec(2))], leave_payloads=[2]))
    assert store.leftovers() == [Leftover(1, 1001, 7, AT + 1), Leftover(2, 1001, 7, AT + 2)]
    assert store.payload(1) == b"payload"
    store.commit(Batch(AT + 3, drop_payloads=[1]))
    assert store.leftovers() == [Leftover(2, 1001, 7, AT + 2)]


def test_the_events_of_jobs_are_told_in_order_and_the_newest_of_many(store: Store) -> None:
    submit(store, job(1, spec=spec(1)), job(2, spec=spec(2)))
    changes = [PriorityChanged(NOW, 1, 1001, value) for value in range(5)]
    store.commit(Batch(AT, [*changes, PriorityChanged(NOW, 2, 1001, 9)]))
    told = store.events_of([1])
    assert [type(event).__name__ for event in told[:1]] == ["Submitted"]
    assert told[1:] == changes
    assert store.events_of([1], limit=2) == changes[3:]
    assert store.events_of([1, 2])[-1] == PriorityChanged(NOW, 2, 1001, 9)
    assert store.events_of([3]) == []
    first = store.first_event(1)
    assert (type(first).__name__, store.first_event(3)) == ("Submitted", None)


def test_a_payload_is_kept_until_it_is_dropped(store: Store) -> None:
    submit(store, job(1))
    assert store.payload(1) == b"payload"
    assert store.payload_sizes() == {1: 7}
    store.commit(Batch(AT, [CancelRequested(NOW, 1, 1001)], [ended(1, 20.0)], drop_payloads=[1]))
    with pytest.raises(StoreCorrupt, match="payloads row 1"):
        store.payload(1)
    assert store.payload_sizes() == {}


def test_an_answer_is_found_by_uid_and_key(store: Store) -> None:
    store.commit(Batch(AT, answers=[(1001, "k", {"first": 1, "count": 2})]))
    assert store.answer(1001, "k") == {"first": 1, "count": 2}
    assert store.answer(1002, "k") is None
    assert store.answer(1001, "K") is None


def test_old_answers_make_room_for_new_ones(store: Store) -> None:
    store.commit(Batch(AT, answers=[(7, "mine", {})]))
    for number in range(ANSWERS_KEPT + 2 * ANSWERS_SLACK):
        store.commit(Batch(AT, answers=[(1001, str(number), {"first": number})]))
    assert store.answer(1001, "0") is None
    newest = ANSWERS_KEPT + 2 * ANSWERS_SLACK - 1
    assert store.answer(1001, str(newest - ANSWERS_KEPT + 1)) is not None
    assert store.answer(1001, str(newest)) == {"first": newest}
    assert store.answer(7, "mine") == {}


def test_history_holds_every_event_in_order(store: Store) -> None:
    events = list(EVENTS.values())
    store.commit(Batch(AT, events[:1], [job(7, spec=spec(7, gpu_mem=8000, signal=(10, 60)))]))
    store.commit(Batch(AT, events[1:]))
    history = store.history()
    assert [event for _, event in history] == events
    numbers = [number for number, _ in history]
    assert numbers == sorted(set(numbers))
    assert store.history(after=numbers[2], limit=2) == history[3:5]


def test_the_trail_tells_who_asked_for_what_in_pieces(store: Store) -> None:
    asked = [ev.Audited(NOW, 1001, "cancel", str(n), "ok") for n in range(5)]
    events: list[ev.Event] = [EVENTS["Submitted"], *asked[:2], EVENTS["Started"], *asked[2:]]
    assert store.trail(0, 10) == ([], 0)
    store.commit(Batch(AT, events, [job(7, spec=spec(7, gpu_mem=8000, signal=(10, 60)))]))
    told = [*reversed(asked), EVENTS["Submitted"]]
    assert store.trail(0, 100) == (told, 0)
    first, at = store.trail(0, 4)
    second, end = store.trail(at, 4)
    assert (first, second, end) == (told[:3], told[3:], 0)


FOUND: list[tuple[JobFilter, list[int]]] = [
    (JobFilter(), [3, 2, 4, 1]),
    (JobFilter(limit=2), [3, 2]),
    (JobFilter(limit=-1), []),
    (JobFilter(ids=[1, 4, 5, 99]), [4, 1]),
    (JobFilter(ids=[]), []),
    (JobFilter(uids=[1002]), [3]),
    (JobFilter(users=["alice"]), [2, 4, 1]),
    (JobFilter(users=["%", "ali_e"]), []),
    (JobFilter(states=["FAILED"]), [2, 4]),
    (JobFilter(states=["FAILED"], since=25.0), [2]),
    (JobFilter(since=30.0), [3, 2]),
    (JobFilter(users=["bob' OR '1'='1", 'bob"]) --']), []),
]


@pytest.mark.parametrize(("wanted", "ids"), FOUND)
def test_ended_jobs_are_found_newest_end_first(
    store: Store, wanted: JobFilter, ids: list[int]
) -> None:
    submit(
        store,
        ended(1, 10.0),
        ended(2, 30.0, "FAILED"),
        ended(3, 30.0, uid=1002, user="bob"),
        ended(4, 20.0, "FAILED"),
        job(5),
    )
    assert [one.id for one in store.find(wanted)] == ids


AWKWARD = ["", "'; DROP TABLE jobs; --", "%_\\", "\n\x1b[31m\u202e", "é\U0001f600" * 40]


@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_is_stored_literally(store: Store, text: str) -> None:
    kept = job(1, Ended("FAILED", 20.0, detail=text), user=text, spec=spec(1, name=text, cwd=text))
    submit(store, kept)
    store.commit(Batch(AT, answers=[(1, text, {"text": text})], meta={text: text}))
    assert store.find(JobFilter(users=[text])) == [kept]
    assert store.answer(1, text) == {"text": text}


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    first = open_store(tmp_path, AT)
    submit(first, job(1), job(2, PHASES["Running"]), ended(3, 20.0))
    first.commit(Batch(AT, answers=[(1, "k", {"n": 1})], meta={"boot_id": "b"}))
    before = (first.load(), first.find(JobFilter()), first.history())
    first.close()
    second = open_store(tmp_path, AT)
    assert (second.load(), second.find(JobFilter()), second.history()) == before
    assert second.answer(1, "k") == {"n": 1}
    second.close()


def test_attempts_that_are_over_are_kept_by_job(store: Store) -> None:
    store.commit(Batch(1.0, runs=RUN_SAMPLES))
    assert store.runs(7) == RUN_SAMPLES[:2]
    assert store.runs(42) == RUN_SAMPLES[2:]
    assert store.runs(1) == []


def old_jobs(*ends: float) -> list[Job]:
    return [job(n, Ended("COMPLETED", end, end - 1, 0)) for n, end in enumerate(ends, start=1)]


def test_ended_jobs_are_forgotten_oldest_first_a_few_at_a_time(store: Store) -> None:
    jobs = [*old_jobs(20, 10, 30, 40), job(5)]
    store.commit(Batch(50, [submitted(one) for one in jobs], jobs, {2: b"payload"}))
    assert store.forget("jobs", 35, limit=2) == 2
    assert [one.id for one in store.find(JobFilter())] == [4, 3]
    assert store.forget("jobs", 35, limit=2) == 1
    assert store.forget("jobs", 35, limit=2) == 0
    assert [one.id for one in store.load().jobs] == [5]
    assert store.load().next_id == 6
    assert len(store.history()) == 5


def test_jobs_that_others_need_are_not_forgotten(store: Store) -> None:
    first, second, task = old_jobs(10, 20, 30)
    task = replace(task, array=2, tasks=Tasks.only(0))
    jobs = [first, second, task]
    store.commit(Batch(50, [submitted(one) for one in jobs], jobs))
    assert store.forget("jobs", 99, limit=10, keep={2}) == 1
    assert [one.id for one in store.find(JobFilter())] == [3, 2]


def test_a_spec_stays_while_one_of_its_jobs_does(store: Store) -> None:
    one, other = (replace(old, spec=spec(1)) for old in old_jobs(10, 20))
    store.commit(Batch(50, [submitted(one, 2)], [one, other]))
    store.forget("jobs", 15, limit=10)
    assert store.find(JobFilter()) == [other]
    store.forget("jobs", 25, limit=10)
    assert store.find(JobFilter()) == []


def test_attempts_and_events_are_forgotten_by_age(store: Store) -> None:
    at = [Now(10.0 * n, n) for n in range(1, 4)]
    events = [Held(when, 7, 1001, "user") for when in at]
    runs = [replace(RUN_SAMPLES[0], attempt=n, ended=10.0 * n) for n in range(1, 4)]
    store.commit(Batch(50, events, runs=runs))
    assert store.forget("events", 25, limit=10) == 2
    assert store.history() == [(3, events[2])]
    assert store.forget("usage", 25, limit=10) == 2
    assert store.runs(7) == runs[2:]
