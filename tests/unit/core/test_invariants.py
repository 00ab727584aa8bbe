"""The checker finds every kind of damage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mgpu.core.invariants import check_invariants
from mgpu.core.queue import Line
from mgpu.core.world import World
from mgpu.model.job import Ended, Job, Pending, Starting
from mgpu.testing.builders import EPOCH, Desk, a_job, a_spec, at


def a_world() -> World:
    """Jobs 1 and 2 share GPU 0, 3 has GPU 1 alone, 4 to 6 wait, 7 has no GPUs, 8 is delayed."""
    desk = Desk(1000, 1000)
    desk.submit(a_spec(1, 400), count=2)
    desk.submit(a_spec(1))
    desk.submit(a_spec(2), count=2)
    desk.submit(a_spec(1))
    desk.submit(a_spec(0))
    desk.run()
    late = a_job(8, Pending(EPOCH, 5000.0))
    later = a_job(9, Pending(EPOCH, 6000.0))
    return World(
        desk.world.policy,
        jobs=[*desk.world.jobs.values(), late, later],
        inventory=desk.inventory(),
    )


def set_phase(world: World, number: int, phase: Ended | Pending | Starting) -> None:
    world.jobs[number].phase = phase


def attribute(number: int, name: str, value: object) -> Callable[[World], None]:
    return lambda world: setattr(world.jobs[number], name, value)


def shrink(world: World) -> None:
    desk = Desk(700, 1000)
    world.gpus = desk.world.gpus


def line(world: World, gpus: int) -> Line:
    (found,) = (line for line in world.queue.lines.values() if line.need.gpus == gpus)
    return found


def swap(jobs: list[Job]) -> None:
    jobs[0], jobs[1] = jobs[1], jobs[0]


def promise_twice(world: World) -> None:
    job = a_job(6, Starting(("GPU-1",), at(0)), world.jobs[6].spec, attempt=1)
    world.dequeue(world.jobs[6])
    world.jobs[6] = job
    world.place(job)


DAMAGE: dict[str, tuple[Callable[[World], object], str]] = {
    "misfiled": (attribute(4, "id", 40), "job 40 is filed as 4"),
    "ended": (lambda w: set_phase(w, 4, Ended("FAILED", 1.0)), "job 4 has ended"),
    "restarts": (attribute(1, "restarts", 2), "job 1: too few attempts"),
    "deferrals": (attribute(1, "deferrals", 2), "job 1: too few attempts"),
    "no attempt": (attribute(1, "attempt", 0), "job 1 runs without an attempt"),
    "unnoticed": (lambda w: w.changed.update({77: w.jobs[1]}), "job 77 changed unnoticed"),
    "same seq": (attribute(4, "seq", 5), "same place"),
    "seq": (lambda w: setattr(w, "next_seq", 9), "place in the queue is given twice"),
    "id": (lambda w: setattr(w, "next_id", 9), "id is given twice"),
    "count": (lambda w: w.pending_of.update({1000: 9}), "waiting per user"),
    "order": (lambda w: swap(line(w, 2).jobs), "out of order"),
    "delayed": (lambda w: swap(w.queue.delayed), "delayed jobs are out of order"),
    "shape": (attribute(5, "spec", a_spec(1, 7)), "another's jobs"),
    "need": (lambda w: setattr(line(w, 2), "need", None), "needs more"),
    "empty": (lambda w: line(w, 1).jobs.clear(), "is empty"),
    "held": (attribute(5, "held", "user"), "may not start"),
    "forgotten": (lambda w: w.queue.remove(w.jobs[6]), "queue is not what waits"),
    "forgotten delay": (lambda w: w.queue.delayed.pop(), "queue is not what waits"),
    "placed": (lambda w: w.placed.pop(1), "not what runs"),
    "gpuless": (lambda w: setattr(w.ledger, "gpuless", 0), "0 != 1 without GPUs"),
    "too many": (attribute(3, "spec", a_spec(2)), "job 3 holds"),
    "ledger": (lambda w: w.ledger.holders["GPU-0"].pop(1), "ledger is not what is held"),
    "memory": (shrink, "GPU-0: 800 MiB are promised"),
    "tally": (lambda w: w.tally.running.clear(), "tally is not what runs"),
    "tally of the queue": (lambda w: w.tally.queued.clear(), "tally is not what waits"),
    "alone": (promise_twice, "promised to .* alone"),
}


def test_the_world_is_sound_before_it_is_damaged() -> None:
    check_invariants(a_world())


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(damage: str) -> None:
    world = a_world()
    do, told = DAMAGE[damage]
    do(world)
    with pytest.raises(AssertionError, match=told):
        check_invariants(world)


def test_free_memory_must_be_what_the_jobs_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_world()
    rooms = world.rooms()
    rooms[0].free += 1
    monkeypatch.setattr(world, "rooms", lambda: rooms)
    with pytest.raises(AssertionError, match="gpu0: 201 MiB free, should be 200"):
        check_invariants(world)
