"""Which connection waits for the end of which jobs."""

from __future__ import annotations

from collections.abc import Sequence

from mgpu.daemon.connection import Connection


class Waiters:
    """Both directions of "waits for", so that a job's end and a connection's are found fast."""

    def __init__(self) -> None:
        self._by_job: dict[int, list[Connection]] = {}
        self._left: dict[Connection, set[int]] = {}

    def add(self, conn: Connection, jobs: Sequence[int]) -> None:
        """``conn`` waits for all of ``jobs``."""
        self._left[conn] = set(jobs)
        for job_id in self._left[conn]:
            self._by_job.setdefault(job_id, []).append(conn)

    def ended(self, job_id: int) -> list[tuple[Connection, bool]]:
        """Who waited for ``job_id``, each with whether it was the last one it waited for."""
        told = []
        for conn in self._by_job.pop(job_id, ()):
            left = self._left[conn]
            left.discard(job_id)
            if not left:
                del self._left[conn]
            told.append((conn, not left))
        return told

    def forget(self, conn: Connection) -> None:
        """``conn`` is gone."""
        for job_id in self._left.pop(conn, ()):
            waiting = self._by_job[job_id]
            waiting.remove(conn)
            if not waiting:
                del self._by_job[job_id]
