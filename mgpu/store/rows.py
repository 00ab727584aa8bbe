"""The rows that a batch becomes, the jobs that rows become, the query that a filter becomes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mgpu.model.events import Event, Submitted
from mgpu.model.job import Ended, Job, JobSpec, Phase, altered
from mgpu.model.records import Record
from mgpu.model.target import Names
from mgpu.model.tasks import Tasks
from mgpu.store.base import JobFilter, Outcome
from mgpu.store.codec import Specs, check_uid, corrupt
from mgpu.store.records import (
    pack_event,
    pack_more,
    pack_phase,
    pack_record,
    pack_spec,
    unpack_more,
    unpack_phase,
)
from mgpu.store.shapes import More

SELECT_JOBS: Final = (
    "SELECT id, uid, user, spec, submitted, seq, priority, attempt, restarts, deferrals, phase,"
    " array, more FROM jobs"
)


#: Jobs that are named by number, as a whole array, or as tasks. Of records of several tasks only
#: the array is looked at here.
_NAMED: Final = """(
    id IN (SELECT value FROM json_each(?))
    OR (array > 0 AND array IN (SELECT value FROM json_each(?)))
    OR (array > 0 AND array IN (SELECT value FROM json_each(?)) AND (task IS NULL OR EXISTS (
        SELECT 1 FROM json_each(?) WHERE array = json_extract(value, '$[0]')
            AND task BETWEEN json_extract(value, '$[1]') AND json_extract(value, '$[2]')
            AND (task - json_extract(value, '$[1]')) % json_extract(value, '$[3]') = 0))))"""

#: Stores the row that :func:`of_event` makes.
PUT_EVENT: Final = "INSERT INTO events(at, kind, job, attempt, uid, body) VALUES (?, ?, ?, ?, ?, ?)"


def of_specs(events: Iterable[Event]) -> list[tuple[int, bytes]]:
    """The specs that the batch brings in."""
    specs = [event.spec for event in events if isinstance(event, Submitted)]
    return [(spec.spec_id, pack_spec(spec)) for spec in specs]


def of_jobs(jobs: Iterable[Job]) -> Iterator[tuple[Any, ...]]:
    """A row for each job. The tasks of one submission share their phase: it is packed once."""
    phase: Phase | None = None
    for job in jobs:
        if job.phase is not phase:
            phase = job.phase
            packed, ended = pack_phase(phase), phase.ended if isinstance(phase, Ended) else None
        head = (job.id, check_uid(job.uid), job.user, job.spec.spec_id, job.submitted, job.seq)
        counts = (job.priority, job.attempt, job.restarts, job.deferrals)
        task = job.tasks.first if job.tasks is not None and len(job.tasks) == 1 else None
        yield (*head, *counts, job.state, ended, packed, job.array, task, _more(job))


def _more(job: Job) -> bytes | None:
    rest = (job.held, job.begin, job.needs, job.extension, job.crashes, job.peaks, job.note)
    return pack_more(More(job.failures, job.tasks, *rest, job.altered))


def of_records(records: Mapping[tuple[str, str], Record | None]) -> list[tuple[str, str, bytes]]:
    """The rows of the records that are there."""
    return [(kind, key, pack_record(r)) for (kind, key), r in records.items() if r is not None]


def of_gone(records: Mapping[tuple[str, str], Record | None]) -> list[tuple[str, str]]:
    """The kind and key of the records that are gone."""
    return [name for name, record in records.items() if record is None]


def of_event(event: Event) -> tuple[Any, ...]:
    """The row of one event of the audit trail."""
    attempt, uid = getattr(event, "attempt", None), getattr(event, "uid", None)
    kind = type(event).__name__
    return (event.at.wall, kind, event.job, attempt, uid, pack_event(event))


class Reader:
    """Makes jobs of rows. What many jobs have in common they share: spec, phase, user name."""

    def __init__(self, find_spec: Specs, specs: dict[int, JobSpec] | None = None) -> None:
        self._find_spec = find_spec
        self._specs = {} if specs is None else specs
        self._phases: dict[bytes, Phase] = {}
        self._users: dict[str, str] = {}

    def job(self, row: Sequence[Any]) -> Job:
        """The job of a row of :data:`SELECT_JOBS`; raises StoreCorrupt naming the row."""
        number, uid, user, spec_id, submitted, seq, priority, attempt, restarts, late, packed = row[
            :11
        ]
        where = f"jobs row {number}"
        try:
            check_uid(uid)
        except ValueError as error:
            raise corrupt(where, str(error)) from error
        spec, phase = self._spec(spec_id), self._phase(packed, where)
        user = self._users.setdefault(user, user)
        more = unpack_more(row[12], where)
        counts = (priority, attempt, restarts, late, more.failures, row[11])
        spec = altered(spec, more.altered)
        rest: tuple[Any, ...] = more[1:]
        return Job(number, uid, user, spec, submitted, seq, phase, *counts, *rest)

    def _spec(self, spec_id: int) -> JobSpec:
        spec = self._specs.get(spec_id)
        if spec is None:
            spec = self._specs[spec_id] = self._find_spec(spec_id)
        return spec

    def _phase(self, packed: bytes, where: str) -> Phase:
        phase = self._phases.get(packed)
        if phase is None:
            phase = self._phases[packed] = unpack_phase(packed, where)
        return phase


def outcome(row: Sequence[Any]) -> Outcome:
    """What a row of ``id, task, more, state, ended`` says of the tasks in it."""
    number, task, packed, state, ended = row
    more = unpack_more(packed if task is None else None, f"jobs row {number}")
    return Outcome(more.tasks or Tasks.only(task), state, ended)


def query(wanted: JobFilter) -> tuple[str, list[Any]]:
    """The statement that finds the jobs of a filter, and its parameters."""
    lists = {"id": wanted.ids, "uid": wanted.uids, "user": wanted.users, "state": wanted.states}
    conditions: list[str] = ["ended IS NOT NULL"]
    values: list[Any] = []
    if wanted.names is not None:
        conditions.append(_NAMED)
        values += _named(Names(wanted.names))
    for column, members in lists.items():
        if members is not None:
            conditions.append(f"{column} IN (SELECT value FROM json_each(?))")  # noqa: S608 - a name of ours
            values.append(_json(members))
    if wanted.since is not None:
        conditions.append("ended >= ?")
        values.append(wanted.since)
    values.append(max(0, wanted.limit))
    where = " AND ".join(conditions)
    order = "ORDER BY ended DESC, id DESC LIMIT ?"
    return f"{SELECT_JOBS} WHERE {where} {order}", values


def _named(names: Names) -> list[str]:
    """The parameters of ``_NAMED``: numbers twice, arrays of tasks, ranges of tasks."""
    numbers = _json(sorted(names.numbers))
    ranges = [[array, *one] for array, tasks in names.tasks.items() for one in tasks.ranges]
    return [numbers, numbers, _json(list(names.tasks)), _json(ranges)]


def _json(members: Sequence[object]) -> str:
    return json.dumps(list(members))
