"""The waiting jobs, in the order in which they are to start.

Jobs that ask for the same thing wait in one bucket, so that a pass looks at bucket heads: when a
head cannot start, nothing behind it in its bucket can. Jobs in a back-off wait apart until it is
over. Inside a bucket, and between heads, the order is priority (highest first), then seq.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from mgpu.core.placement import Need, need_of
from mgpu.model.job import Job, JobSpec, Pending, Shape

Rank = tuple[int, int]


def rank(job: Job) -> Rank:
    """The place of a job in the queue: the smaller, the earlier."""
    return (-job.priority, job.seq)


def eligible_at(job: Job) -> float:
    """The boot time before which a waiting job is not started."""
    return job.phase.eligible if isinstance(job.phase, Pending) else 0.0


def _delay(job: Job) -> tuple[float, int]:
    return (eligible_at(job), job.id)


class Bucket:
    """Waiting jobs of one shape, in order; never empty while it is in a queue."""

    __slots__ = ("jobs", "need", "shape", "time_limit")

    def __init__(self, spec: JobSpec) -> None:
        self.shape: Shape = spec.shape
        self.need: Need = need_of(spec)
        self.time_limit = spec.time_limit
        self.jobs: list[Job] = []

    def add(self, jobs: list[Job]) -> None:
        """Insert jobs that are in order among themselves."""
        if len(jobs) == 1:
            insort(self.jobs, jobs[0], key=rank)
            return
        in_order = not self.jobs or rank(self.jobs[-1]) < rank(jobs[0])
        self.jobs.extend(jobs)
        if not in_order:
            self.jobs.sort(key=rank)

    def remove(self, job: Job) -> None:
        """Take one job out."""
        place = bisect_left(self.jobs, rank(job), key=rank)
        if place == len(self.jobs) or self.jobs[place] is not job:
            raise KeyError(job.id)
        del self.jobs[place]


class Heads:
    """Walks a queue in order: the caller takes a job and goes on, or drops the whole bucket."""

    def __init__(self, buckets: Iterable[Bucket]) -> None:
        self._heap = [(rank(bucket.jobs[0]), 0, bucket) for bucket in buckets]
        heapq.heapify(self._heap)

    def __iter__(self) -> Iterator[tuple[Bucket, Job]]:
        while self._heap:
            _, place, bucket = self._heap[0]
            yield bucket, bucket.jobs[place]

    def advance(self) -> None:
        """The job just seen is dealt with: its bucket goes on with the next one."""
        _, place, bucket = self._heap[0]
        if place + 1 < len(bucket.jobs):
            head = rank(bucket.jobs[place + 1])
            heapq.heapreplace(self._heap, (head, place + 1, bucket))
        else:
            self.drop()

    def drop(self) -> None:
        """Nothing in the bucket just seen can start: leave it out from here on."""
        heapq.heappop(self._heap)


class Queue:
    """All waiting jobs: ``buckets`` of those that may start, ``delayed`` ones by time."""

    def __init__(self) -> None:
        self.buckets: dict[Shape, Bucket] = {}
        self.delayed: list[Job] = []

    def add(self, job: Job) -> None:
        """Put one waiting job at its place."""
        if eligible_at(job) > 0:
            insort(self.delayed, job, key=_delay)
        else:
            self._bucket(job.spec).add([job])

    def extend(self, jobs: list[Job]) -> None:
        """Put many jobs at their places."""
        ready: dict[int, list[Job]] = {}
        for job in jobs:
            if eligible_at(job) > 0:
                self.add(job)
            else:
                ready.setdefault(id(job.spec), []).append(job)
        for same in ready.values():
            same.sort(key=rank)
            self._bucket(same[0].spec).add(same)

    def remove(self, job: Job) -> None:
        """Take one job out, before anything that its place depends on changes."""
        place = bisect_left(self.delayed, _delay(job), key=_delay)
        if place < len(self.delayed) and self.delayed[place] is job:
            del self.delayed[place]
        else:
            self._remove_ready(job)

    def release(self, boot: float) -> None:
        """Let the jobs whose back-off is over take their places again."""
        due = 0
        while due < len(self.delayed) and eligible_at(self.delayed[due]) <= boot:
            self._bucket(self.delayed[due].spec).add([self.delayed[due]])
            due += 1
        del self.delayed[:due]

    def next_release(self) -> float | None:
        """The boot time at which the next back-off is over."""
        return eligible_at(self.delayed[0]) if self.delayed else None

    def heads(self) -> Heads:
        """A walk over the jobs that may start, in order."""
        return Heads(self.buckets.values())

    def _bucket(self, spec: JobSpec) -> Bucket:
        bucket = self.buckets.get(spec.shape)
        if bucket is None:
            bucket = self.buckets[spec.shape] = Bucket(spec)
        return bucket

    def _remove_ready(self, job: Job) -> None:
        shape = job.spec.shape
        if shape not in self.buckets:
            raise KeyError(job.id)
        bucket = self.buckets[shape]
        bucket.remove(job)
        if not bucket.jobs:
            del self.buckets[shape]
