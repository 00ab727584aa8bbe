"""Which connection waits for the end of which jobs."""

from __future__ import annotations

from collections.abc import Iterable

from mgpu.daemon.connection import Connection
from mgpu.model.job import Job
from mgpu.model.target import Name, Names
from mgpu.model.tasks import Tasks


class Waiters:
    """Both directions of "waits for", so that a job's end and a connection's are found fast.

    What is waited for are jobs, by id, and tasks of arrays, by the array's id: the record that a
    task ends in may not exist yet.
    """

    def __init__(self) -> None:
        self._by_job: dict[int, list[Connection]] = {}
        self._by_array: dict[int, dict[Connection, Tasks]] = {}
        self._left: dict[Connection, set[tuple[str, int]]] = {}

    def add(self, conn: Connection, names: Iterable[Name]) -> None:
        """``conn`` waits for all of ``names``; a number is a job that is no array."""
        wanted = Names(names)
        left = self._left[conn] = {("job", number) for number in wanted.numbers}
        for number in wanted.numbers:
            self._by_job.setdefault(number, []).append(conn)
        for array, tasks in wanted.tasks.items():
            left.add(("array", array))
            self._by_array.setdefault(array, {})[conn] = tasks

    def ended(self, job: Job) -> list[tuple[Connection, bool, bool]]:
        """Who waited for ``job``: by its id?, and is nothing else waited for any more?"""
        told = [
            (conn, True, self._strike(conn, "job", job.id)) for conn in self._by_job.pop(job.id, ())
        ]
        wanted = self._by_array.get(job.array, {})
        for conn, tasks in list(wanted.items()):
            left = tasks.without(job.tasks or Tasks(()))
            if len(left) == len(tasks):
                continue
            if left.ranges:
                wanted[conn] = left
                told.append((conn, False, False))
            else:
                del wanted[conn]
                told.append((conn, False, self._strike(conn, "array", job.array)))
        if not wanted:
            self._by_array.pop(job.array, None)
        return told

    def forget(self, conn: Connection) -> None:
        """``conn`` is gone."""
        for kind, number in self._left.pop(conn, ()):
            if kind == "array":
                del self._by_array[number][conn]
                if not self._by_array[number]:
                    del self._by_array[number]
            else:
                self._by_job[number].remove(conn)
                if not self._by_job[number]:
                    del self._by_job[number]

    def _strike(self, conn: Connection, kind: str, number: int) -> bool:
        left = self._left[conn]
        left.discard((kind, number))
        if left:
            return False
        del self._left[conn]
        return True
