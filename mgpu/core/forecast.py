"""When waiting jobs are expected to start: the real scheduler, run ahead on a copy of the world.

Every job is taken to run for its whole time limit, and nothing new to come. Jobs are then mostly
earlier than said; a job without a limit ends at no known time, nor does what waits for it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection
from dataclasses import replace
from typing import Final, NamedTuple

from mgpu.core import arrays
from mgpu.core.explain import reason_of
from mgpu.core.foresight import holding
from mgpu.core.lifecycle import evolve
from mgpu.core.order import Scorer
from mgpu.core.policy import effective_limit
from mgpu.core.schedule import next_deadline, schedule
from mgpu.core.settle import settle
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import Event, Finished, Preempted, Requeued, Started, Submitted
from mgpu.model.gpu import DIRTY, Gpu, Inventory
from mgpu.model.job import Job, Pending, Stopping
from mgpu.model.time import Now

#: So many waiting jobs are looked at, in order, and so many moments of the future.
MOST_JOBS: Final = 100
_MOST_STEPS: Final = 1000


class Expected(NamedTuple):
    """A start at ``wall`` (Unix time) on ``gpus`` (indices), once the job ``after`` has ended.

    ``after`` is a name that people know, ``42`` or ``42_7``; empty where it waits for none.
    """

    wall: float
    gpus: tuple[int, ...]
    after: str


def forecast(world: World, now: Now, wanted: Collection[int] = ()) -> dict[int, Expected]:
    """The expected starts of the first jobs in line and, among them, of all that are wanted.

    A job that is not in the result has no start that is known.
    """
    ahead = _Ahead(world, now, wanted)
    ahead.run()
    return ahead.starts


class Foretold(NamedTuple):
    """What would become of a new job: its start, if one is known, and why not now, if not now."""

    start: Expected | None
    reason: str
    detail: str


def foretell(world: World, events: list[Event], now: Now) -> Foretold:
    """What would become of the job of which ``events`` tell; the world stays as it is."""
    ahead = _Ahead(world, now, ())
    new = next(event.job for event in events if isinstance(event, Submitted))
    start = ahead.follow(events, new)
    at_once = start is not None and start.wall <= now.wall
    return Foretold(start, *(("", "") if at_once else ahead.reason))


class _Ahead:
    """The copy of the world and what is to happen in it; each entry is (boot, job, attempt)."""

    def __init__(self, world: World, now: Now, wanted: Collection[int]) -> None:
        chosen = first_in_line(world, now, MOST_JOBS)
        chosen += [world.jobs[n] for n in wanted if n in world.jobs and world.jobs[n] not in chosen]
        jobs = [replace(job) for job in (*world.placed.values(), *chosen[: 2 * MOST_JOBS])]
        self.world = World(
            # Nobody looks at the GPUs there: a job leaves them the moment it ends.
            replace(world.policy, cleaning=False),
            _cleaned_up(world),
            jobs=sorted({job.id: job for job in jobs}.values(), key=lambda job: job.id),
            next_id=world.next_id,
            next_seq=world.next_seq,
            records=world.records.everything(),
        )
        self.now = now
        self.starts: dict[int, Expected] = {}
        self._origin: dict[int, int] = {}
        self._missing = {job.id for job in chosen}
        self._ends = [(self._end(job), job.id, job.attempt) for job in world.placed.values()]
        heapq.heapify(self._ends)
        self._after = ""
        self.reason = ("", "")

    def follow(self, events: list[Event], new: int) -> Expected | None:
        """The start of a ``new`` job, which the events bring; ``reason`` is why not at once."""
        self._apply(events)
        self._missing = {new}
        self._pass()
        if new in self.world.jobs:
            self.reason = reason_of(self.world, self.world.jobs[new], self.now)
        self.run()
        return self.starts.get(new)

    def run(self) -> None:
        for _ in range(_MOST_STEPS):
            self._pass()
            at = self._next()
            if not self._missing or at == math.inf:
                return
            self.now = Now(self.now.wall + at - self.now.boot, at)
            self._finish()

    def _pass(self) -> None:
        while events := settle(self.world, self.now):
            self._apply(events)
        self._apply(schedule(self.world, self.now).events)

    def _apply(self, events: list[Event]) -> None:
        for event in events:
            before = self.world.jobs.get(event.job)
            evolve(self.world, event)
            if isinstance(event, Started):
                self._note(event, self.world.jobs[event.job])
            elif isinstance(event, Preempted) and before is not None:
                leaves = self.now.boot + self.world.policy.grace
                heapq.heappush(self._ends, (leaves, before.id, before.attempt))

    def _note(self, event: Started, job: Job) -> None:
        number = job.array or job.id
        for known in {job.id, number} & self._missing:
            gpus = tuple(sorted(self.world.gpus[uuid].index for uuid in event.gpus))
            self.starts[known] = Expected(self.now.wall, gpus, self._after)
            self._missing.discard(known)
        heapq.heappush(self._ends, (self._end(job), job.id, job.attempt))

    def _end(self, job: Job) -> float:
        limit = effective_limit(job.spec, self.world.policy)
        if not limit:
            return math.inf
        return max(self.now.boot + 1.0, holding(job, self.world.policy, self.now).end)

    def _next(self) -> float:
        """The boot time of what happens next."""
        due = next_deadline(self.world)
        first = self._ends[0][0] if self._ends else math.inf
        return max(self.now.boot, min(first, math.inf if due is None else due))

    def _finish(self) -> None:
        while self._ends and self._ends[0][0] <= self.now.boot:
            _, number, attempt = heapq.heappop(self._ends)
            job = self.world.placed.get(number)
            if job is None or job.attempt != attempt:
                continue
            self._after = arrays.named(job)
            if isinstance(job.phase, Stopping) and job.phase.goes_on:
                evolve(self.world, Requeued(self.now, number, attempt, states.PREEMPTED))
            else:
                evolve(self.world, Finished(self.now, number, attempt, states.COMPLETED, 0))


def _cleaned_up(world: World) -> Inventory:
    """The GPUs without what jobs left; those on which it stays cannot be had."""
    return world.inventory._replace(gpus=tuple(_left(world, gpu) for gpu in world.inventory.gpus))


def _left(world: World, gpu: Gpu) -> Gpu:
    if world.gpus[gpu.uuid].state == DIRTY:
        gpu = replace(gpu, available=False)
    over = world.traces.jobs(gpu.uuid)
    if not over:
        return gpu
    return replace(
        gpu,
        used=gpu.outside,
        measured=tuple(one for one in gpu.measured if one[0] not in over),
        untold=tuple(job for job in gpu.untold if job not in over),
    )


def not_before(job: Job, now: Now) -> float | None:
    """When (Unix time) a job gets in line that only waits for its time; None for all others."""
    if job.held or job.needs is not None or not isinstance(job.phase, Pending):
        return None
    wall = max(job.begin, now.wall + job.phase.eligible - now.boot)
    return wall if wall > now.wall else None


def first_in_line(world: World, now: Now, most: int) -> list[Job]:
    """The first jobs in line that may start, in order."""
    walk = world.queue.walk(now.boot, Scorer(world, now))
    found: list[Job] = []
    for line, job in walk:
        found.append(job)
        walk.pass_over(line)
        if len(found) == most:
            break
    return found
