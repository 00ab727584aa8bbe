"""Plays a workload to the core as the daemon would, with a heap of events for a clock.

Launching takes no time. A job ends by itself after its run time, and at its limit is ended. One
that is put back into the queue keeps what it has done, as programs that save their state do.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import NamedTuple

from mgpu.core.decide import decide
from mgpu.core.lifecycle import evolve
from mgpu.core.policy import Policy, effective_limit
from mgpu.core.requests import AttemptEnded, AttemptRunning, Request, Submit
from mgpu.core.schedule import next_deadline, schedule
from mgpu.core.settle import settle
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import Event, Preempted, Started
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.job import Job, JobSpec
from mgpu.model.time import Now
from mgpu.simulator.trace import TraceJob

#: Unix time at which every replay begins; the boot clock shows the same.
ORIGIN = 1_700_000_000.0
GPU_MIB = 81920
FIRST_UID = 1000
#: A deadline of the core counts as this much later at least, so that time goes on.
TICK = 1.0

_END, _SUBMIT = 0, 1

Watch = Callable[[World], None]


@dataclass(slots=True)
class Outcome:
    """What became of a job. Times are seconds since the first submission, None is never.

    ``served`` are the seconds that it ran, over all attempts.
    """

    job: TraceJob
    started: float | None = None
    ended: float | None = None
    served: float = 0.0
    attempts: int = 0
    refused: str = ""


class _Due(NamedTuple):
    """What happens at ``at``: ends before submissions, then in the order of the workload."""

    at: float
    kind: int
    place: int
    attempt: int = 0


def replay(
    jobs: Sequence[TraceJob], gpus: int, policy: Policy, watch: Watch | None = None
) -> list[Outcome]:
    """What becomes of each job under ``policy``. ``watch`` sees the world after every step."""
    run = _Replay(jobs, gpus, policy)
    while run.step():
        if watch is not None:
            watch(run.world)
    return run.outcomes


def machine(gpus: int) -> Inventory:
    """``gpus`` GPUs that are all alike."""
    return Inventory(
        "simulated",
        tuple(Gpu(f"GPU-{index}", index, "Simulated", GPU_MIB) for index in range(gpus)),
    )


class _Replay:
    """The state of one replay; :meth:`step` is one turn of the daemon."""

    def __init__(self, jobs: Sequence[TraceJob], gpus: int, policy: Policy) -> None:
        self.world = World(changed(policy, max_pending_per_user=0), machine(gpus))
        self.outcomes = [Outcome(job) for job in jobs]
        self._heap = [_Due(job.submit, _SUBMIT, place) for place, job in enumerate(jobs)]
        heapq.heapify(self._heap)
        self._uids: dict[str, int] = {}
        self._place: dict[int, int] = {}
        self._since: dict[int, float] = {}
        self._time = 0.0

    def step(self) -> bool:
        """Do what is due next, and have the core react; False when nothing is left to do."""
        at = self._next()
        if at is None:
            return False
        self._time = at
        while self._heap and self._heap[0].at <= at:
            due = heapq.heappop(self._heap)
            self._submit(due.place) if due.kind == _SUBMIT else self._end(due)
        self._turn()
        return True

    def _next(self) -> float | None:
        """When the next thing happens: one of the workload's, or one that the core waits for."""
        known = [self._heap[0].at] if self._heap else []
        deadline = next_deadline(self.world) if self.world.jobs else None
        if deadline is not None:
            known.append(max(deadline - ORIGIN, self._time + TICK))
        return min(known, default=None)

    @property
    def _now(self) -> Now:
        return Now(ORIGIN + self._time, ORIGIN + self._time)

    # -- what happens ---------------------------------------------------------------------------

    def _submit(self, place: int) -> None:
        job = self.outcomes[place].job
        uid = self._uids.setdefault(job.user, FIRST_UID + len(self._uids))
        number = self.world.next_id
        spec = _spec(job, number)
        try:
            self._ask(Submit(uid, job.user, spec, job.priority, admin=True))
        except MgpuError as error:
            self.outcomes[place].refused = str(error)
        else:
            self._place[number] = place

    def _end(self, due: _Due) -> None:
        """An attempt has done its work or reached its limit, which may have moved meanwhile."""
        job = self.world.placed.get(due.place)
        if job is None or job.attempt != due.attempt:
            return
        end = self._end_of(job)
        if end > self._time:
            heapq.heappush(self._heap, due._replace(at=end))
            return
        self._over(job, "exit" if self._left(job) <= self._time - self._since[job.id] else "limit")

    def _over(self, job: Job, why: str) -> None:
        outcome = self.outcomes[self._place[job.id]]
        outcome.served += self._time - self._since.pop(job.id)
        code, signal = (0, None) if why == "exit" else (None, 15)
        cause = {"exit": "exit", "limit": "timelimit", "stop": "cancel"}[why]
        wall = self._now.wall
        self._ask(AttemptEnded(job.id, job.attempt, code, signal, cause, "", wall))
        if job.id not in self.world.jobs:
            outcome.ended = self._time

    def _left(self, job: Job) -> float:
        """The seconds that the attempt needs to finish the work."""
        outcome = self.outcomes[self._place[job.id]]
        return outcome.job.run - outcome.served

    def _end_of(self, job: Job) -> float:
        """When the attempt under way ends, as far as is known now."""
        limit = effective_limit(job.spec, self.world.policy)
        left = self._left(job)
        allowed = min(left, limit + job.extension) if limit else left
        return self._since[job.id] + allowed

    # -- what the core makes of it --------------------------------------------------------------

    def _ask(self, request: Request) -> None:
        self._apply(decide(self.world, request, self._now).events)

    def _turn(self) -> None:
        while events := settle(self.world, self._now):
            self._apply(events)
        self._apply(schedule(self.world, self._now).events)
        self.world.take_changed()
        self.world.take_closed()
        self.world.records.take_changed()

    def _apply(self, events: Iterable[Event]) -> None:
        for event in list(events):
            evolve(self.world, event)
            if isinstance(event, Started):
                self._launch(event)
            elif isinstance(event, Preempted):
                self._stop(event)

    def _launch(self, start: Started) -> None:
        outcome = self.outcomes[self._place[start.job]]
        outcome.started = self._time if outcome.started is None else outcome.started
        outcome.attempts += 1
        self._since[start.job] = self._time
        self._ask(AttemptRunning(start.job, start.attempt, start.job, 1, self._now))
        job = self.world.jobs[start.job]
        heapq.heappush(self._heap, _Due(self._end_of(job), _END, start.job, start.attempt))

    def _stop(self, event: Preempted) -> None:
        self._over(self.world.jobs[event.job], "stop")


def _spec(job: TraceJob, number: int) -> JobSpec:
    return JobSpec(
        number, "replay", "", "/", job.gpus, job.gpu_mem,
        time_limit=job.limit, requeue=job.requeue, project=job.project, qos=job.qos,
    )  # fmt: skip
