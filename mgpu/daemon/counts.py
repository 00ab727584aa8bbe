"""What the scheduler counts of itself, for metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from mgpu.core.world import World
from mgpu.model.events import Deferred, Event, Requeued, Retried, Started, Submitted
from mgpu.model.job import Job, JobSpec
from mgpu.model.metrics import BUCKETS
from mgpu.model.time import Now

Labels = tuple[str, ...]


class Counts:
    """Counters by name and labels, and histograms: the counts of their buckets, and the sum."""

    def __init__(self) -> None:
        self.counters: dict[str, dict[Labels, int]] = {}
        self.histograms: dict[str, dict[Labels, list[float]]] = {}

    def add(self, name: str, *labels: str, by: int = 1) -> None:
        """Count."""
        known = self.counters.setdefault(name, {})
        known[labels] = known.get(labels, 0) + by

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Count in the bucket of a value; the last but one is without bound, the last the sum."""
        bounds = BUCKETS[name]
        known = self.histograms.setdefault(name, {})
        row = known.setdefault(labels, [0.0] * (len(bounds) + 2))
        row[bisect_left(bounds, value)] += 1
        row[-1] += value

    def heard(self, world: World, events: Iterable[Event], now: Now) -> None:
        """Count the events of a turn that is stored."""
        for event in events:
            if isinstance(event, Submitted):
                tasks = len(event.tasks) if event.tasks is not None else event.count
                self.add("mgpu_jobs_submitted_total", class_of(world, event.spec), by=tasks)
            elif isinstance(event, Deferred):
                self.add("mgpu_starts_deferred_total")
            elif isinstance(event, Started | Requeued | Retried):
                job = world.jobs.get(event.job)
                if job is not None:
                    self._of_run(world, event, job, now)

    def _of_run(self, world: World, event: Any, job: Job, now: Now) -> None:
        name = class_of(world, job.spec)
        if not isinstance(event, Started):
            self.add("mgpu_jobs_requeued_total", name)
            return
        self.add("mgpu_jobs_started_total", name)
        if event.attempt == 1:
            waited = max(0.0, now.wall - max(job.submitted, job.begin))
            self.observe("mgpu_wait_seconds", waited, name)

    def ended(self, world: World, job: Job) -> None:
        """Count a job that is over."""
        tasks = len(job.tasks) if job.tasks is not None else 1
        self.add("mgpu_jobs_ended_total", class_of(world, job.spec), job.state, by=tasks)


def class_of(world: World, spec: JobSpec) -> str:
    """The class that a job is counted in."""
    return world.policy.class_of(spec.qos).name
