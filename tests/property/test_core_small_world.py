"""Two jobs, two GPUs, every input in every state that can be reached in a few steps.

Breadth first, each state once. A state is what the store would hold, so that every step also
loads a world from it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import pytest

from mgpu.core.decide import decide
from mgpu.core.explain import reason_of
from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import evolve
from mgpu.core.policy import Policy
from mgpu.core.requests import (
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptRunning,
    AttemptVanished,
    Cancel,
    Rebooted,
    Request,
)
from mgpu.core.schedule import schedule
from mgpu.core.world import World
from mgpu.model.events import Event
from mgpu.model.gpu import Inventory
from mgpu.model.job import Ended, Job, JobSpec, Pending
from mgpu.model.time import Now
from mgpu.testing.builders import UID, Desk, a_gpu, a_spec, at

DEPTH = 5
POLICY = Policy(max_requeues=1, start_retries=1)
KINDS = {
    "sharing": a_spec(1, 600, limit=50),
    "alone": a_spec(1, requeue=False),
    "both": a_spec(2, limit=90),
}
PAIRS = [("sharing", "sharing"), ("sharing", "alone"), ("sharing", "both"), ("both", "alone")]


class State:
    """Jobs (ended ones too), the GPU that is out of service, the time."""

    def __init__(self, jobs: list[Job], out: int | None, now: Now) -> None:
        self.jobs = jobs
        self.out = out
        self.now = now

    def key(self) -> object:
        places = sorted(job.seq for job in self.jobs)
        rows = [
            (job.phase, job.attempt, job.restarts, job.deferrals, places.index(job.seq))
            for job in self.jobs
        ]
        return (tuple(rows), self.out, self.now)

    def world(self) -> World:
        gpus = tuple(a_gpu(index, 1000) for index in range(2) if index != self.out)
        jobs = [copy.copy(job) for job in self.jobs if not isinstance(job.phase, Ended)]
        next_seq = max(job.seq for job in self.jobs) + 1
        return World(POLICY, Inventory("simulated", gpus), jobs=jobs, next_id=3, next_seq=next_seq)

    def after(self, world: World) -> State:
        rows = {job.id: job for job in self.jobs} | {job.id: job for job in world.take_changed()}
        return State([copy.copy(rows[number]) for number in sorted(rows)], self.out, self.now)


def requests(job: Job) -> Iterator[Request]:
    number = job.id
    yield Cancel((number,), UID)
    for attempt in {job.attempt, max(1, job.attempt - 1)}:
        yield AttemptRunning(number, attempt, 1, 1, at(0))
        yield AttemptEnded(number, attempt, 0, None, "exit", "", at(5).wall)
        yield AttemptEnded(number, attempt, None, 15, "timelimit", "", at(5).wall)
        yield AttemptRefused(number, attempt, "fork", 11, "", transient=True)
        yield AttemptRefused(number, attempt, "exec", 2, "", transient=False)
        yield AttemptLost(number, attempt)
        yield AttemptVanished(number, attempt)
        yield Rebooted(number, attempt)


def successors(state: State) -> Iterator[State]:
    world = state.world()
    before = repr(world.jobs)
    plans: list[Sequence[Event]] = [
        decide(world, request, state.now).events for job in state.jobs for request in requests(job)
    ]
    plans.append(schedule(world, state.now).starts)
    assert repr(world.jobs) == before
    for events in plans:
        if events:
            yield step(state, events)
    yield State(state.jobs, 1 if state.out is None else None, state.now)
    if state.now == at(0):
        yield State(state.jobs, state.out, at(60))


def step(state: State, events: Sequence[Event]) -> State:
    world = state.world()
    for event in events:
        evolve(world, event)
    check(world, state.now)
    return state.after(world)


def check(world: World, now: Now) -> None:
    check_invariants(world)
    for job in world.jobs.values():
        assert bool(reason_of(world, job, now)[1]) == isinstance(job.phase, Pending)


def explore(first: JobSpec, second: JobSpec) -> dict[object, State]:
    desk = Desk(1000, 1000, policy=POLICY)
    desk.submit(first)
    desk.submit(second)
    start = State(list(desk.world.jobs.values()), None, desk.now)
    known, edge = {start.key(): start}, [start]
    for _ in range(DEPTH):
        found = {new.key(): new for state in edge for new in successors(state)}
        edge = [state for key, state in found.items() if key not in known]
        known |= found
    return known


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_every_reachable_state_is_sound(first: str, second: str) -> None:
    states = explore(KINDS[first], KINDS[second])
    ways = {tuple(job.state for job in state.jobs) for state in states.values()}
    assert {"PENDING", "RUNNING", "COMPLETING"} < {state for way in ways for state in way}
    assert {("CANCELLED", "CANCELLED"), ("COMPLETED", "PENDING")} < ways
    assert (("RUNNING", "RUNNING") in ways) == ("both" not in (first, second))
    for state in states.values():
        for job in state.jobs:
            assert not (job.state == "COMPLETED" and job.attempt == 0)
            assert job.restarts <= 1
