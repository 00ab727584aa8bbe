"""The store in memory, for tests and simulations. Forgets everything with its process."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Any

from mgpu.model.events import Audited, Event, Submitted
from mgpu.model.job import Ended, Job
from mgpu.model.records import Record
from mgpu.model.runs import Run
from mgpu.model.target import Names
from mgpu.store.base import (
    ANSWERS_KEPT,
    ANSWERS_SLACK,
    Asked,
    Batch,
    JobFilter,
    Leftover,
    Loaded,
    Outcome,
    StoreError,
)
from mgpu.store.codec import corrupt


class MemoryStore:
    """See :class:`mgpu.store.base.Store`. Records are copied, as a file would copy them."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._payloads: dict[int, bytes] = {}
        self._unused: dict[int, float] = {}
        self._events: list[Event] = []
        self._answers: dict[int, dict[str, dict[str, Any]]] = {}
        self._meta: dict[str, str] = {}
        self._records: dict[tuple[str, str], Record] = {}
        self._runs: list[Run] = []
        self._forgotten = 0
        self._next_id = 1

    def load(self) -> Loaded:
        """Everything that is active. Jobs of one submission share their spec object."""
        jobs = [copy.copy(job) for job in self._jobs.values() if not isinstance(job.phase, Ended)]
        next_seq = max((job.seq for job in jobs), default=0) + 1
        boot_id, kept = self._meta.get("boot_id", ""), sorted(self._records.items())
        return Loaded(sorted(jobs, key=_id), self._next_id, next_seq, boot_id, [r for _, r in kept])

    def commit(self, batch: Batch) -> None:
        """Make the batch visible to later questions."""
        self._events += batch.events
        self._runs += batch.runs
        self._jobs.update((job.id, copy.copy(job)) for job in batch.jobs)
        self._next_id = max([self._next_id, *(job.id + 1 for job in batch.jobs)])
        self._payloads.update(batch.payloads)
        self._meta.update(batch.meta)
        self._records |= {name: r for name, r in batch.records.items() if r is not None}
        for name in [name for name, record in batch.records.items() if record is None]:
            self._records.pop(name, None)
        self._unused |= dict.fromkeys(batch.leave_payloads, batch.at)
        for spec_id in batch.drop_payloads:
            self._payloads.pop(spec_id, None)
            self._unused.pop(spec_id, None)
        for uid, key, reply in batch.answers:
            self._put_answer(uid, key, dict(reply))

    def payload(self, spec_id: int) -> bytes:
        """The launch payload of a spec; raises StoreCorrupt where there is none."""
        if spec_id not in self._payloads:
            raise corrupt(f"payloads row {spec_id}", "missing")
        return self._payloads[spec_id]

    def payload_sizes(self) -> dict[int, int]:
        """The bytes of each launch payload that is kept, by spec."""
        return {spec_id: len(payload) for spec_id, payload in self._payloads.items()}

    def leftovers(self) -> list[Leftover]:
        """The payloads of ``leave_payloads`` that were not dropped since, the oldest first."""
        kept = sorted(self._unused.items(), key=lambda one: (one[1], one[0]))
        return [
            Leftover(spec_id, self._jobs[spec_id].uid, len(self._payloads[spec_id]), at)
            for spec_id, at in kept
        ]

    def answer(self, uid: int, key: str) -> dict[str, Any] | None:
        """What the request ``key`` of ``uid`` was answered, if that is still known."""
        return self._answers.get(uid, {}).get(key)

    def find(self, wanted: JobFilter) -> list[Job]:
        """Jobs that have ended, newest end first."""
        names = None if wanted.names is None else Names(wanted.names)
        found = [
            (_ended(job), job)
            for job in self._jobs.values()
            if _matches(job, wanted) and (names is None or names.has(job.id, job.array, job.tasks))
        ]
        found.sort(key=lambda pair: (pair[0], pair[1].id), reverse=True)
        return [copy.copy(job) for _, job in found[: max(0, wanted.limit)]]

    def job(self, job_id: int) -> Job | None:
        """One job, active or ended."""
        return copy.copy(self._jobs.get(job_id))

    def newest(self, uid: int, limit: int) -> list[int]:
        """Ids of submissions of ``uid`` that are over or in part so, the newest first."""
        ended = (job for job in self._jobs.values() if isinstance(job.phase, Ended))
        found = {job.id for job in ended if job.uid == uid and job.array in (0, job.id)}
        return sorted(found, reverse=True)[:limit]

    def outcomes(self, array: int, task: int | None = None) -> list[Outcome]:
        """The tasks of an array that have ended; ``task`` asks for the one it is in alone."""
        return [
            Outcome(job.tasks, job.phase.state, job.phase.ended)
            for job in self._jobs.values()
            if job.array == array > 0 and job.tasks is not None and isinstance(job.phase, Ended)
            if task is None or task in job.tasks
        ]

    def runs(self, job_id: int) -> list[Run]:
        """The attempts of a job that are over, in order."""
        found = [run for run in self._runs if run.job == job_id]
        return sorted(found, key=lambda run: (run.ended, run.attempt))

    def history(self, after: int = 0, limit: int = 1000) -> list[tuple[int, Event]]:
        """The audit trail in order: (number, event) with numbers greater than ``after``."""
        events = enumerate(self._events, start=1 + self._forgotten)
        return [(number, event) for number, event in events if number > after][:limit]

    def forget(self, what: str, before: float, limit: int, keep: Collection[int] = ()) -> int:
        """Remove what is older than ``before`` (Unix time), ``limit`` rows at most; how many."""
        if what == "jobs":
            old = [job for job in self._jobs.values() if _is_old(job, before)]
            old = [job for job in old if not {job.id, job.array} & set(keep)]
            gone = [job.id for job in sorted(old, key=_ended)[:limit]]
            for number in gone:
                del self._jobs[number]
            return len(gone)
        if what == "usage":
            runs = sorted(self._runs, key=lambda run: run.ended)
            count = len([run for run in runs if run.ended < before][:limit])
            self._runs = runs[count:]
            return count
        first = self._events[:limit]
        count = len(list(takewhile(lambda event: event.at.wall < before, first)))
        self._forgotten += count
        del self._events[:count]
        return count

    def events_of(self, jobs: Sequence[int], limit: int = 1000) -> list[Event]:
        """The newest events of these records, in order."""
        chosen = set(jobs)
        return [event for event in self._events if event.job in chosen][-limit:]

    def first_event(self, job: int) -> Event | None:
        """The oldest event of this record."""
        return next((event for event in self._events if event.job == job), None)

    def trail(self, before: int, span: int) -> tuple[list[Asked], int]:
        """Who asked for what, newest first: of the ``span`` events before number ``before``."""
        gone = self._forgotten
        before = before or gone + len(self._events) + 1
        events = self._events[max(0, before - gone - span - 1) : max(0, before - gone - 1)]
        asked = [one for one in reversed(events) if isinstance(one, Audited | Submitted)]
        return asked, before - span if before - span > gone + 1 else 0

    def hold_file(self, *, held: bool) -> None:
        """There is no file."""
        if held:
            raise StoreError("this state is in memory alone")

    def close(self) -> None:
        """Nothing to give back."""

    def _put_answer(self, uid: int, key: str, reply: dict[str, Any]) -> None:
        answers = self._answers.setdefault(uid, {})
        answers[key] = reply
        if len(answers) > ANSWERS_KEPT + ANSWERS_SLACK:
            for old in list(answers)[:-ANSWERS_KEPT]:
                del answers[old]


def _id(job: Job) -> int:
    return job.id


def _ended(job: Job) -> float:
    return job.phase.ended if isinstance(job.phase, Ended) else 0.0


def _is_old(job: Job, before: float) -> bool:
    return isinstance(job.phase, Ended) and job.phase.ended < before


def _matches(job: Job, wanted: JobFilter) -> bool:
    if not isinstance(job.phase, Ended):
        return False
    tests = (
        (job.id, wanted.ids),
        (job.uid, wanted.uids),
        (job.user, wanted.users),
        (job.state, wanted.states),
    )
    recent = wanted.since is None or job.phase.ended >= wanted.since
    return recent and all(members is None or value in members for value, members in tests)
