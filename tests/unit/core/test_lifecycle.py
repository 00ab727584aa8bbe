"""What can happen in which phase, what it does, and that nothing else can happen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import TRANSITIONS, IllegalTransition, evolve, forget_boot
from mgpu.core.policy import Policy
from mgpu.core.world import World
from mgpu.model.dependency import Condition, Dependency
from mgpu.model.events import (
    Altered,
    CancelRequested,
    Deferred,
    DependencyChanged,
    Erased,
    Event,
    Evicted,
    Extended,
    Finished,
    Held,
    Launched,
    Measured,
    Noted,
    Preempted,
    PriorityChanged,
    Recorded,
    Refused,
    Released,
    Requeued,
    Retried,
    Split,
    Started,
    Submitted,
)
from mgpu.model.job import Ended, Job, Pending, Phase, Running, Starting, Stopping
from mgpu.model.records import Array, Quota
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import EPOCH, UID, Desk, a_job, a_spec, an_inventory, at

GPUS = ("GPU-0",)
SPEC = replace(a_spec(1, 500), retries=3)
NOBODY = type(None)
NEEDS = Dependency((Condition("afterok", 3),))
TASKS = Tasks(((0, 3, 1),))


class MakingRoom(Stopping):
    """Being stopped for the sake of another job, after which it waits again."""


PHASES: dict[type, Phase | None] = {
    NOBODY: None,
    Pending: Pending(EPOCH),
    Starting: Starting(GPUS, at(1)),
    Running: Running(GPUS, at(2), 4001, 77),
    Stopping: Stopping(GPUS, UID, at(2), 4001, 77),
    MakingRoom: Stopping(GPUS, 0, at(2), 4001, 77, preempted=9),
}
EVENTS: dict[type, Event] = {
    Submitted: Submitted(at(5), 7, 1, UID, "u", SPEC, 0),
    Started: Started(at(5), 7, 4, GPUS),
    Launched: Launched(at(5), 7, 3, 4002, 78),
    CancelRequested: CancelRequested(at(5), 7, 1001),
    Deferred: Deferred(at(5), 7, 3, 1010.0, "BeginTime", "why", counted=True),
    Requeued: Requeued(at(5), 7, 3, "TIMEOUT"),
    Finished: Finished(at(5), 7, 3, "FAILED", 1, 9, "why"),
    PriorityChanged: PriorityChanged(at(5), 7, UID, 42),
    Altered: Altered(at(5), 7, UID, 600, "low"),
    Split: Split(at(5), 7, 8, Tasks(((1, 2, 1),))),
    Held: Held(at(5), 7, UID, "user"),
    Released: Released(at(5), 7, UID, 0.0),
    DependencyChanged: DependencyChanged(at(5), 7, NEEDS),
    Refused: Refused(at(5), 7, "DeadLine", "too late"),
    Preempted: Preempted(at(5), 7, 3, 9),
    Retried: Retried(at(5), 7, 3, 1, None, 1035.0),
    Extended: Extended(at(5), 7, 3, 600),
    Evicted: Evicted(at(5), 7, 3, "memory", "why"),
    Measured: Measured(at(5), 7, 3, (("GPU-0", 8000),)),
    Noted: Noted(at(5), 7, 3, "why"),
}
AFTER: dict[tuple[type, type], Phase] = {
    (NOBODY, Submitted): Pending(at(5).wall),
    (Pending, Started): Starting(GPUS, at(5)),
    (Pending, CancelRequested): Ended("CANCELLED", at(5).wall),
    (Pending, PriorityChanged): Pending(EPOCH),
    (Pending, Altered): Pending(EPOCH),
    (Pending, Split): Pending(EPOCH),
    (Pending, Held): Pending(EPOCH),
    (Pending, Released): Pending(EPOCH),
    (Pending, DependencyChanged): Pending(EPOCH),
    (Pending, Refused): Ended("CANCELLED", at(5).wall, detail="DeadLine: too late"),
    (Starting, Launched): Running(GPUS, at(5), 4002, 78),
    (Starting, CancelRequested): Stopping(GPUS, 1001, None),
    (Starting, Deferred): Pending(at(5).wall, 1010.0, "BeginTime", "why"),
    (Starting, Requeued): Pending(at(5).wall),
    (Starting, Retried): Pending(
        at(5).wall, 1035.0, "BeginTime", "failed with code 1 (retry 1 of 3)"
    ),
    (Starting, Finished): Ended("FAILED", at(5).wall, None, 1, 9, "why", GPUS),
    (Running, CancelRequested): Stopping(GPUS, 1001, at(2), 4001, 77),
    (Running, Requeued): Pending(at(5).wall),
    (Running, Retried): Pending(
        at(5).wall, 1035.0, "BeginTime", "failed with code 1 (retry 1 of 3)"
    ),
    (Running, Finished): Ended("FAILED", at(5).wall, at(2).wall, 1, 9, "why", GPUS),
    (Running, Preempted): Stopping(GPUS, 0, at(2), 4001, 77, preempted=9),
    (Running, Altered): Running(GPUS, at(2), 4001, 77),
    (Running, Extended): Running(GPUS, at(2), 4001, 77),
    (Running, Evicted): Stopping(GPUS, 0, at(2), 4001, 77, cause="memory", detail="why"),
    (Running, Measured): Running(GPUS, at(2), 4001, 77),
    (Running, Noted): Running(GPUS, at(2), 4001, 77),
    (Stopping, Measured): Stopping(GPUS, UID, at(2), 4001, 77),
    (MakingRoom, Measured): Stopping(GPUS, 0, at(2), 4001, 77, preempted=9),
    (Stopping, Launched): Stopping(GPUS, UID, at(5), 4002, 78),
    (Stopping, Finished): Ended("FAILED", at(5).wall, at(2).wall, 1, 9, "why", GPUS),
    (MakingRoom, CancelRequested): Stopping(GPUS, 1001, at(2), 4001, 77),
    (MakingRoom, Requeued): Pending(at(5).wall),
    (MakingRoom, Launched): Stopping(GPUS, 0, at(5), 4002, 78, preempted=9),
    (MakingRoom, Finished): Ended("FAILED", at(5).wall, at(2).wall, 1, 9, "why", GPUS),
}
ALL = [(phase, event) for phase in PHASES for event in EVENTS]


def a_world(phase: type) -> World:
    """One job, 7, in this phase (or none), in its third attempt after one requeue."""
    jobs = []
    state = PHASES[phase]
    if state is not None:
        job = a_job(7, state, SPEC, attempt=3)
        job.restarts, job.deferrals = 1, 1
        if phase is Pending:
            job.array, job.tasks = 7, TASKS
        jobs.append(job)
    return World(Policy(), an_inventory(1000), jobs=jobs)


def test_the_table_and_this_specification_name_the_same_pairs() -> None:
    named = {(Stopping if phase is MakingRoom else phase, event) for phase, event in AFTER}
    assert set(TRANSITIONS) == named
    assert {event for _, event in TRANSITIONS} == set(EVENTS)


@pytest.mark.parametrize(("phase", "event"), [pair for pair in ALL if pair in AFTER])
def test_what_may_happen(phase: type, event: type) -> None:
    world = a_world(phase)
    generation = world.generation
    evolve(world, EVENTS[event])
    check_invariants(world)
    changed = {job.id: job for job in world.take_changed()}
    job = changed.pop(7)
    assert job.phase == AFTER[phase, event]
    assert set(changed) == ({8} if event is Split else set())
    assert world.generation == generation + 1
    assert (7 in world.jobs) == (not isinstance(job.phase, Ended))
    assert world.take_changed() == []


@pytest.mark.parametrize(("phase", "event"), [pair for pair in ALL if pair not in AFTER])
def test_what_cannot_happen(phase: type, event: type) -> None:
    world = a_world(phase)
    before = (repr(world.jobs), world.generation)
    with pytest.raises(IllegalTransition, match=event.__name__):
        evolve(world, EVENTS[event])
    assert (repr(world.jobs), world.generation) == before
    assert world.take_changed() == []
    check_invariants(world)


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        (Pending, Started(at(5), 7, 3, GPUS)),
        (Pending, Started(at(5), 7, 5, GPUS)),
        *((Starting, Launched(at(5), 7, attempt, 1, 1)) for attempt in (2, 4)),
        *((Starting, Deferred(at(5), 7, n, 0.0, "", "", counted=False)) for n in (2, 4)),
        *((Running, Requeued(at(5), 7, attempt, "TIMEOUT")) for attempt in (2, 4)),
        *((Running, Finished(at(5), 7, attempt, "FAILED")) for attempt in (2, 4)),
        *((Running, Preempted(at(5), 7, attempt, 9)) for attempt in (2, 4)),
        *((Running, Retried(at(5), 7, attempt, 1, None, 0.0)) for attempt in (2, 4)),
        *((Running, Extended(at(5), 7, attempt, 60)) for attempt in (2, 4)),
        *((MakingRoom, Requeued(at(5), 7, attempt, "PREEMPTED")) for attempt in (2, 4)),
        (NOBODY, Submitted(at(5), 7, 0, UID, "u", SPEC, 0)),
    ],
)
def test_events_of_another_attempt_cannot_happen(phase: type, event: Event) -> None:
    world = a_world(phase)
    with pytest.raises(IllegalTransition):
        evolve(world, event)
    assert world.take_changed() == []


def test_an_id_that_was_given_is_never_given_again() -> None:
    desk = Desk(1000)
    desk.submit(count=3)
    desk.cancel(3)
    with pytest.raises(IllegalTransition):
        evolve(desk.world, Submitted(at(5), 3, 1, UID, "u", SPEC, 0))
    assert desk.submit() == 4


def test_a_submission_makes_jobs_with_consecutive_ids_and_places() -> None:
    world = World(Policy(), next_id=40, next_seq=90)
    evolve(world, Submitted(at(5), 40, 3, UID, "u", SPEC, 2))
    waits = Pending(at(5).wall)
    expected = [Job(40 + n, UID, "u", SPEC, at(5).wall, 90 + n, waits, 2) for n in range(3)]
    assert list(world.jobs.values()) == expected == world.take_changed()
    assert (world.next_id, world.next_seq, world.pending_of) == (43, 93, {UID: 3})
    check_invariants(world)


def test_a_requeued_job_goes_to_the_end_and_counts_the_restart() -> None:
    world = a_world(Running)
    evolve(world, Submitted(at(4), 8, 1, UID, "u", SPEC, 0))
    evolve(world, EVENTS[Requeued])
    job = world.jobs[7]
    assert (job.id, job.seq, job.restarts, job.attempt, job.deferrals) == (7, 9, 2, 3, 0)
    assert world.next_seq == 10
    assert world.placed == {}


def test_a_deferred_job_keeps_its_place_and_counts_only_what_is_to_be_counted() -> None:
    world = a_world(Starting)
    evolve(world, EVENTS[Deferred])
    assert (world.jobs[7].seq, world.jobs[7].deferrals, world.jobs[7].restarts) == (7, 2, 1)
    world = a_world(Starting)
    evolve(world, Deferred(at(5), 7, 3, 1010.0, "", "", counted=False))
    assert world.jobs[7].deferrals == 1


@pytest.mark.parametrize("phase", [Starting, Stopping])
def test_a_launch_ends_the_row_of_failed_starts(phase: type) -> None:
    world = a_world(phase)
    evolve(world, EVENTS[Launched])
    assert world.jobs[7].deferrals == 0


def test_a_job_that_made_room_keeps_its_place_and_its_age() -> None:
    world = a_world(MakingRoom)
    evolve(world, Requeued(at(5), 7, 3, "PREEMPTED"))
    job = world.jobs[7]
    assert (job.seq, job.restarts, job.phase) == (7, 2, Pending(EPOCH))


def test_a_retried_job_goes_to_the_end_and_counts_the_failure_and_the_restart() -> None:
    world = a_world(Running)
    evolve(world, EVENTS[Retried])
    job = world.jobs[7]
    assert (job.seq, job.failures, job.restarts, job.attempt, job.deferrals) == (8, 1, 2, 3, 0)
    assert world.queue.next_release() == 1035.0


@pytest.mark.parametrize(
    ("code", "signal", "words"),
    [(None, 9, "ended by signal 9 (retry 1 of 3)"), (None, None, "failed (retry 1 of 3)")],
)
def test_a_retried_job_says_how_it_failed(code: int | None, signal: int | None, words: str) -> None:
    world = a_world(Running)
    evolve(world, Retried(at(5), 7, 3, code, signal, 1035.0))
    assert world.jobs[7].phase == Pending(at(5).wall, 1035.0, "BeginTime", words)


def test_a_split_moves_tasks_to_a_record_of_their_own() -> None:
    world = a_world(Pending)
    evolve(world, EVENTS[Split])
    old, new = world.jobs[7], world.jobs[8]
    assert old.tasks == Tasks(((0, 0, 1), (3, 3, 1)))
    assert (new.array, new.tasks, new.seq, new.spec) == (7, Tasks(((1, 2, 1),)), 7, old.spec)
    assert world.next_id == 9


def test_a_hold_and_a_release_are_noted() -> None:
    world = a_world(Pending)
    evolve(world, EVENTS[Held])
    assert world.jobs[7].held == "user"
    evolve(world, Released(at(6), 7, UID, EPOCH + 60))
    assert (world.jobs[7].held, world.jobs[7].begin) == ("", EPOCH + 60)


def test_what_is_left_of_a_dependency_is_noted() -> None:
    world = a_world(Pending)
    evolve(world, EVENTS[DependencyChanged])
    assert world.jobs[7].needs == NEEDS
    evolve(world, DependencyChanged(at(6), 7, None))
    assert world.jobs[7].needs is None


def test_an_extension_lasts_until_the_attempt_is_over() -> None:
    world = a_world(Running)
    evolve(world, EVENTS[Extended])
    assert world.jobs[7].extension == 600
    evolve(world, EVENTS[Requeued])
    assert world.jobs[7].extension == 0


def test_a_submission_brings_all_that_it_says() -> None:
    world = World(Policy(), an_inventory(1000))
    array = Submitted(at(5), 1, 1, UID, "u", SPEC, 0, TASKS, "user", EPOCH + 9, NEEDS)
    evolve(world, array)
    job = world.jobs[1]
    assert (job.array, job.tasks, job.held, job.begin) == (1, TASKS, "user", EPOCH + 9)
    assert job.needs == NEEDS
    record = world.records.get(Array, 1)
    assert record is not None
    assert (record.uid, record.total, record.done, record.failed) == (UID, 4, 0, 0)
    check_invariants(world)


def test_records_are_kept_and_dropped() -> None:
    world = World(Policy())
    quota = Quota("user:ada", running_gpus=2)
    evolve(world, Recorded(at(1), 0, quota))
    assert world.records.get(Quota, "user:ada") == quota
    evolve(world, Erased(at(2), 0, "Quota", "user:ada"))
    assert world.records.all(Quota) == []
    assert world.records.take_changed() == {("Quota", "user:ada"): None}


def test_a_start_gives_the_gpus_and_an_end_takes_them_back() -> None:
    world = a_world(Pending)
    evolve(world, EVENTS[Started])
    assert world.jobs[7].attempt == 4
    assert (world.rooms()[0].free, world.pending_of, list(world.placed)) == (500, {}, [7])
    evolve(world, Finished(at(6), 7, 4, "COMPLETED", 0))
    assert (world.rooms()[0].free, world.jobs, world.placed) == (1000, {}, {})


def test_a_wall_clock_that_was_set_back_makes_no_negative_duration() -> None:
    world = a_world(Running)
    evolve(world, Finished(at(-50), 7, 3, "COMPLETED", 0))
    [job] = world.take_changed()
    assert job.phase == Ended("COMPLETED", at(2).wall, at(2).wall, 0, gpus=GPUS)
    for phase, event in ((Pending, CancelRequested(at(-50), 7, UID)), (Starting, Finished(at(-50), 7, 3, "FAILED"))):  # fmt: skip  # noqa: E501
        world = a_world(phase)
        evolve(world, event)
        [job] = world.take_changed()
        assert isinstance(job.phase, Ended)
        assert job.phase.ended == EPOCH


def test_another_priority_moves_the_job() -> None:
    desk = Desk(1000)
    desk.submit(count=3)
    evolve(desk.world, PriorityChanged(at(0), 3, UID, 1))
    check_invariants(desk.world)
    assert list(desk.run()) == [3]


def test_after_a_reboot_a_back_off_of_before_is_over() -> None:
    late = a_job(7, Pending(EPOCH, 99999.0, "BeginTime", "why"), SPEC, attempt=1)
    world = World(Policy(), an_inventory(1000), jobs=[late, a_job(8, Pending(EPOCH), SPEC)])
    assert world.queue.next_release() == 99999.0
    generation = world.generation
    forget_boot(world)
    check_invariants(world)
    assert world.jobs[7].phase == Pending(EPOCH)
    assert world.take_changed() == [world.jobs[7]]
    assert (world.queue.next_release(), world.generation) == (None, generation + 1)


def test_a_loaded_world_goes_on_where_the_stored_one_was() -> None:
    desk = Desk(1000, 1000, 1000)
    desk.submit(a_spec(1, 600), count=5)
    desk.run()
    desk.launched(1)
    desk.cancel(2)
    jobs = list(desk.world.jobs.values())
    loaded = World(Policy(), an_inventory(1000, 1000, 1000), jobs=jobs, next_id=3, next_seq=70)
    check_invariants(loaded)
    assert (loaded.next_id, loaded.next_seq) == (6, 70)
    assert loaded.placed == desk.world.placed
    assert loaded.ledger.holders == desk.world.ledger.holders
    assert loaded.pending_of == {UID: 2}
    assert loaded.take_changed() == []


def test_a_change_of_rules_is_a_change() -> None:
    world = a_world(Pending)
    generation = world.generation
    world.set_policy(Policy(margin=600))
    assert (world.generation, world.rooms()[0].usable) == (generation + 1, 400)


def test_a_job_that_comes_back_at_once_again_and_again_has_to_pause() -> None:
    desk = Desk(1000)
    number = desk.submit(a_spec(limit=1))
    pauses = []
    for _ in range(12):
        desk.run()
        desk.launched(number)
        desk.wait(1)
        phase = desk.end(number, None, 15, cause="timelimit").phase
        assert isinstance(phase, Pending)
        pauses.append(max(0.0, phase.eligible - desk.now.boot))
        desk.wait(pauses[-1])
    assert pauses == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
