"""What can happen in which phase, what it does, and that nothing else can happen."""

from __future__ import annotations

import pytest

from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import TRANSITIONS, IllegalTransition, evolve, forget_boot
from mgpu.core.policy import Policy
from mgpu.core.world import World
from mgpu.model.events import (
    CancelRequested,
    Deferred,
    Event,
    Finished,
    Launched,
    PriorityChanged,
    Requeued,
    Started,
    Submitted,
)
from mgpu.model.job import Ended, Job, Pending, Phase, Running, Starting, Stopping
from mgpu.testing.builders import EPOCH, UID, Desk, a_job, a_spec, an_inventory, at

GPUS = ("GPU-0",)
SPEC = a_spec(1, 500)
NOBODY = type(None)

PHASES: dict[type, Phase | None] = {
    NOBODY: None,
    Pending: Pending(EPOCH),
    Starting: Starting(GPUS, at(1)),
    Running: Running(GPUS, at(2), 4001, 77),
    Stopping: Stopping(GPUS, UID, at(2), 4001, 77),
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
}
AFTER: dict[tuple[type, type], Phase] = {
    (NOBODY, Submitted): Pending(at(5).wall),
    (Pending, Started): Starting(GPUS, at(5)),
    (Pending, CancelRequested): Ended("CANCELLED", at(5).wall),
    (Pending, PriorityChanged): Pending(EPOCH),
    (Starting, Launched): Running(GPUS, at(5), 4002, 78),
    (Starting, CancelRequested): Stopping(GPUS, 1001, None),
    (Starting, Deferred): Pending(at(5).wall, 1010.0, "BeginTime", "why"),
    (Starting, Requeued): Pending(at(5).wall),
    (Starting, Finished): Ended("FAILED", at(5).wall, None, 1, 9, "why", GPUS),
    (Running, CancelRequested): Stopping(GPUS, 1001, at(2), 4001, 77),
    (Running, Requeued): Pending(at(5).wall),
    (Running, Finished): Ended("FAILED", at(5).wall, at(2).wall, 1, 9, "why", GPUS),
    (Stopping, Launched): Stopping(GPUS, UID, at(5), 4002, 78),
    (Stopping, Finished): Ended("FAILED", at(5).wall, at(2).wall, 1, 9, "why", GPUS),
}
ALL = [(phase, event) for phase in PHASES for event in EVENTS]


def a_world(phase: type) -> World:
    """One job, 7, in this phase (or none), in its third attempt after one requeue."""
    jobs = []
    state = PHASES[phase]
    if state is not None:
        job = a_job(7, state, SPEC, attempt=3)
        job.restarts, job.deferrals = 1, 1
        jobs.append(job)
    return World(Policy(), an_inventory(1000), jobs=jobs)


def test_the_table_and_this_specification_name_the_same_pairs() -> None:
    assert set(TRANSITIONS) == set(AFTER)
    assert {event for _, event in TRANSITIONS} == set(EVENTS)


@pytest.mark.parametrize(("phase", "event"), [pair for pair in ALL if pair in AFTER])
def test_what_may_happen(phase: type, event: type) -> None:
    world = a_world(phase)
    generation = world.generation
    evolve(world, EVENTS[event])
    check_invariants(world)
    [job] = world.take_changed()
    assert job.phase == AFTER[phase, event]
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
