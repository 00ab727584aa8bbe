"""Two jobs, two GPUs, every input in every state that can be reached in a few steps.

Breadth first, each state once. A state is what the store would hold, so that every step also
loads a world from it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from mgpu.core.decide import decide
from mgpu.core.explain import reason_of
from mgpu.core.extension import extensions
from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import evolve
from mgpu.core.policy import Policy, QosClass
from mgpu.core.requests import (
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptRunning,
    AttemptVanished,
    Cancel,
    Hold,
    Rebooted,
    Release,
    Request,
    Submit,
)
from mgpu.core.schedule import schedule
from mgpu.core.settle import settle
from mgpu.core.world import World
from mgpu.model.events import Event
from mgpu.model.gpu import Inventory
from mgpu.model.job import Ended, Job, Pending
from mgpu.model.records import Record
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now
from mgpu.testing.builders import UID, Desk, a_gpu, a_spec, at
from tests.lib.judge import check_arrays

POLICY = Policy(
    max_requeues=1,
    start_retries=1,
    max_job_time=90,
    on_time_limit="extend-when-idle",
    classes={"": QosClass("normal"), "low": QosClass("low", -1, preemptible=True, min_run=60)},
)
KINDS = {
    "sharing": a_spec(1, 600, limit=50),
    "alone": a_spec(1, requeue=False),
    "both": a_spec(2, limit=90),
    "again": replace(a_spec(1, requeue=False), retries=1),
    "low": replace(a_spec(1), qos="low"),
    "array": a_spec(1, 300),
}
USUAL = {
    "Started", "Launched", "CancelRequested", "Deferred", "Finished", "Held", "Released",
}  # fmt: skip
#: Pairs of jobs, how many steps are looked ahead, and what happens beside the usual.
PAIRS = [
    ("sharing", "sharing", 5, {"Requeued"}),
    ("sharing", "alone", 5, {"Requeued", "Extended"}),
    ("sharing", "both", 5, {"Requeued"}),
    ("both", "alone", 5, {"Requeued", "Extended"}),
    ("again", "both", 5, {"Requeued", "Extended", "Retried"}),
    ("low", "both", 6, {"Requeued", "Extended", "Preempted"}),
    ("array", "alone", 4, {"Requeued", "Extended", "Split", "Erased"}),
]


class State:
    """Jobs (ended ones too), records, the GPU that is out of service, the time."""

    def __init__(self, jobs: list[Job], kept: list[Record], out: int | None, now: Now) -> None:
        self.jobs = jobs
        self.kept = kept
        self.out = out
        self.now = now

    def key(self) -> object:
        places = sorted(job.seq for job in self.jobs)
        rows = [replace(job, seq=places.index(job.seq)) for job in self.jobs]
        return (repr(rows), self.out, self.now)

    def world(self) -> World:
        gpus = tuple(a_gpu(index, 1000) for index in range(2) if index != self.out)
        jobs = [copy.copy(job) for job in self.jobs if not isinstance(job.phase, Ended)]
        next_id = max(job.id for job in self.jobs) + 1
        next_seq = max(job.seq for job in self.jobs) + 1
        known = Inventory("simulated", gpus)
        return World(
            POLICY, known, jobs=jobs, next_id=next_id, next_seq=next_seq, records=self.kept
        )

    def after(self, world: World) -> State:
        rows = {job.id: job for job in self.jobs} | {job.id: job for job in world.take_changed()}
        jobs = [copy.copy(rows[number]) for number in sorted(rows)]
        return State(jobs, world.records.everything(), self.out, self.now)


def requests(job: Job) -> Iterator[Request]:
    number = job.id
    yield Cancel((number,), UID)
    yield Hold((number,), UID)
    yield Release((number,), UID)
    for attempt in {job.attempt, max(1, job.attempt - 1)}:
        yield AttemptRunning(number, attempt, 1, 1, at(0))
        yield AttemptEnded(number, attempt, 0, None, "exit", "", at(5).wall)
        yield AttemptEnded(number, attempt, None, 15, "timelimit", "", at(5).wall)
        yield AttemptRefused(number, attempt, "fork", 11, "", transient=True)
        yield AttemptRefused(number, attempt, "exec", 2, "", transient=False)
        yield AttemptLost(number, attempt)
        yield AttemptVanished(number, attempt)
        yield Rebooted(number, attempt)


def successors(state: State) -> Iterator[tuple[Sequence[Event], State]]:
    """What can happen, and what it leads to."""
    world = state.world()
    before = repr(world.jobs)
    plans: list[Sequence[Event]] = [
        decide(world, request, state.now).events for job in state.jobs for request in requests(job)
    ]
    plans.append(settle(world, state.now))
    plan = schedule(world, state.now)
    plans += [plan.events, extensions(world, plan.outlook, state.now)]
    assert repr(world.jobs) == before
    for events in plans:
        if events:
            yield events, step(state, events)
    yield [], State(state.jobs, state.kept, 1 if state.out is None else None, state.now)
    if state.now == at(0):
        yield [], State(state.jobs, state.kept, state.out, at(60))


def step(state: State, events: Sequence[Event]) -> State:
    world = state.world()
    for event in events:
        evolve(world, event)
    check(world, state.now)
    return state.after(world)


def check(world: World, now: Now) -> None:
    check_invariants(world)
    check_arrays(world)
    for job in world.jobs.values():
        reason, detail = reason_of(world, job, now)
        assert bool(reason) == isinstance(job.phase, Pending)
        assert bool(detail) == (bool(reason) and not job.held)


def explore(first: str, second: str, steps: int) -> tuple[list[State], set[str]]:
    """The states within so many steps, and the kinds of events that led to them."""
    desk = Desk(1000, 1000, policy=POLICY)
    for kind in (first, second):
        tasks = Tasks(((0, 1, 1),)) if kind == "array" else None
        desk.ask(Submit(UID, "u", KINDS[kind], tasks=tasks))
    start = State([*desk.world.jobs.values()], desk.world.records.everything(), None, desk.now)
    known, edge, happened = {start.key(): start}, [start], set[str]()
    for _ in range(steps):
        found = [one for state in edge for one in successors(state)]
        happened |= {type(event).__name__ for events, _ in found for event in events}
        new = {state.key(): state for _, state in found}
        edge = [state for key, state in new.items() if key not in known]
        known |= new
    return list(known.values()), happened


@pytest.mark.parametrize(("first", "second", "steps", "more"), PAIRS)
def test_every_reachable_state_is_sound(
    first: str, second: str, steps: int, more: set[str]
) -> None:
    states, happened = explore(first, second, steps)
    assert happened == USUAL | more
    ways = {tuple(job.state for job in state.jobs[:2]) for state in states}
    assert {"PENDING", "RUNNING", "COMPLETING"} < {state for way in ways for state in way}
    assert {("CANCELLED", "CANCELLED"), ("COMPLETED", "PENDING")} < ways
    assert (("RUNNING", "RUNNING") in ways) == ("both" not in (first, second))
    for state in states:
        for job in state.jobs:
            assert not (job.state == "COMPLETED" and job.attempt == 0)
            assert job.failures <= job.spec.retries
            assert job.restarts - job.failures <= 1 or job.spec.qos == "low"
