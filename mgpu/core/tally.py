"""What the jobs of each owner hold and how many wait, counted as they come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mgpu.model.job import Job, JobSpec


class Owner(NamedTuple):
    """Whose jobs are counted together: those of one user in one project."""

    uid: int
    user: str
    project: str


class Load(NamedTuple):
    """Jobs that run (or hold GPUs), their GPUs, and MiB of these."""

    jobs: int = 0
    gpus: int = 0
    memory: int = 0

    def plus(self, other: Load) -> Load:
        """Both together."""
        return Load(self.jobs + other.jobs, self.gpus + other.gpus, self.memory + other.memory)

    def minus(self, other: Load) -> Load:
        """Without the other."""
        return Load(self.jobs - other.jobs, self.gpus - other.gpus, self.memory - other.memory)


class Tally:
    """Loads and waiting tasks by owner; an owner with nothing is not in it."""

    def __init__(self) -> None:
        self.running: dict[Owner, Load] = {}
        self.queued: dict[Owner, int] = {}
        self._taken: dict[int, Load] = {}

    def take(self, job: Job, memory: int) -> None:
        """``job`` holds GPUs from now on, and ``memory`` MiB of them."""
        load = Load(1, job.spec.gpus, memory)
        self._taken[job.id] = load
        owner = owner_of(job)
        self.running[owner] = self.running.get(owner, Load()).plus(load)

    def give(self, job: Job) -> None:
        """``job`` gives back what it took."""
        owner = owner_of(job)
        left = self.running[owner].minus(self._taken.pop(job.id))
        if left.jobs:
            self.running[owner] = left
        else:
            del self.running[owner]

    def add(self, job: Job, memory: int) -> None:
        """Count a start that is to happen; it is never given back."""
        owner = owner_of(job)
        load = Load(1, job.spec.gpus, memory)
        self.running[owner] = self.running.get(owner, Load()).plus(load)

    def queue(self, job: Job) -> None:
        """``job`` waits from now on."""
        owner = owner_of(job)
        self.queued[owner] = self.queued.get(owner, 0) + weight(job)

    def unqueue(self, job: Job) -> None:
        """``job`` waits no longer, or is to change."""
        owner = owner_of(job)
        self.queued[owner] -= weight(job)
        if not self.queued[owner]:
            del self.queued[owner]

    def load(self, counts: Callable[[Owner], bool]) -> Load:
        """What the owners that count hold together."""
        total = Load()
        for owner, load in self.running.items():
            if counts(owner):
                total = total.plus(load)
        return total

    def waiting(self, counts: Callable[[Owner], bool]) -> int:
        """How many tasks of the owners that count wait."""
        return sum(number for owner, number in self.queued.items() if counts(owner))


def owner_of(job: Job) -> Owner:
    """With whose jobs it is counted."""
    return Owner(job.uid, job.user, job.spec.project)


def weight(job: Job) -> int:
    """How many jobs a record stands for."""
    return 1 if job.tasks is None else len(job.tasks)


def memory_of(spec: JobSpec, totals: list[int]) -> int:
    """The MiB that a job holds on GPUs of these sizes: what it reserves, or all when alone."""
    return (spec.gpu_mem or 0) * spec.gpus if spec.shares else sum(totals)
