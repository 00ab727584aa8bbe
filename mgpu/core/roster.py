"""The active records of each array: all of them, and the one that a task is in."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import chain
from typing import NamedTuple

from mgpu.model.job import Job
from mgpu.model.tasks import Tasks

#: A record and the tasks of it that are meant; None means all it has.
Part = tuple[Job, Tasks | None]


class Members(NamedTuple):
    """The active records of one array: of many tasks (by id), and of one (by task)."""

    many: dict[int, Job]
    single: dict[int, Job]
    placed: set[int]

    def all(self) -> list[Job]:
        """Both, in order of their tasks."""
        return sorted([*self.many.values(), *self.single.values()], key=_first)


class Roster:
    """Members by array. ``empty`` are arrays that have just lost their last record."""

    def __init__(self) -> None:
        self._members: dict[int, Members] = {}
        self.empty: set[int] = set()

    def add(self, job: Job) -> None:
        """A record came, or has other tasks now."""
        members = self._members.setdefault(job.array, Members({}, {}, set()))
        if job.tasks is not None and len(job.tasks) == 1:
            members.single[job.tasks.first] = job
        else:
            members.many[job.id] = job

    def remove(self, job: Job) -> None:
        """A record is about to change its tasks."""
        members = self._members[job.array]
        if members.many.pop(job.id, None) is None and job.tasks is not None:
            del members.single[job.tasks.first]

    def leave(self, job: Job) -> None:
        """A record has ended."""
        self.remove(job)
        members = self._members[job.array]
        if not members.many and not members.single:
            del self._members[job.array]
            self.empty.add(job.array)

    def place(self, job: Job) -> None:
        """A task has an attempt under way from now on."""
        self._members[job.array].placed.add(job.id)

    def displace(self, job: Job) -> None:
        """Its attempt is over."""
        self._members[job.array].placed.discard(job.id)

    def placed(self, array: int) -> Set[int]:
        """Its records with an attempt under way."""
        members = self._members.get(array)
        return members.placed if members is not None else frozenset()

    def count(self, array: int) -> int:
        """How many active records it has."""
        members = self._members.get(array)
        return len(members.many) + len(members.single) if members is not None else 0

    def running(self, array: int) -> int:
        """How many tasks of an array have an attempt under way."""
        members = self._members.get(array)
        return len(members.placed) if members is not None else 0

    def has(self, array: int) -> bool:
        """Whether any record of it is active."""
        return array in self._members

    def of(self, array: int) -> list[Job]:
        """Its active records, in order of their tasks."""
        members = self._members.get(array)
        return members.all() if members is not None else []

    def each(self, array: int) -> Iterator[Job]:
        """Its active records in any order, but those of many tasks first."""
        members = self._members.get(array)
        return (
            iter(()) if members is None else chain(members.many.values(), members.single.values())
        )

    def find(self, array: int, task: int) -> Job | None:
        """The active record that a task is in."""
        members = self._members.get(array)
        if members is None:
            return None
        many = (job for job in members.many.values() if job.tasks and task in job.tasks)
        return members.single.get(task) or next(many, None)

    def parts(self, array: int, tasks: Tasks) -> list[Part]:
        """The active records that have some of ``tasks``, each with those."""
        members = self._members.get(array)
        if members is None:
            return []
        if len(tasks) == 1:
            job = self.find(array, tasks.first)
            return [] if job is None else [(job, None if len(job.tasks or ()) == 1 else tasks)]
        if len(tasks) < len(members.single):
            alone = [members.single[task] for task in tasks if task in members.single]
        else:
            alone = [job for task, job in members.single.items() if task in tasks]
        found: list[Part] = [(job, None) for job in alone]
        for job in members.many.values():
            its = job.tasks or Tasks(())
            common = its.meet(tasks)
            if common.ranges:
                found.append((job, common if len(common) < len(its) else None))
        return found


def _first(job: Job) -> int:
    return job.tasks.first if job.tasks is not None else 0
