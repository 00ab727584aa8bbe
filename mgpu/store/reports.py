"""Reports over the history of attempts, made from a connection that only reads.

One question is answered from one snapshot of the database. What is read is never more than what
the question is about: sums go group by group (see ``schema``), each in the order of time. Each
table is one query for all groups: anybody can make many, with a project for each job.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from mgpu.model.runs import Run
from mgpu.store import accounts, files, records
from mgpu.store.tallies import FIELDS, SUMS, SUMS_AGAIN, Tally, sums_of

#: A table: its name, its columns, its rows.
Table = tuple[str, list[str], list[list[Any]]]

WEEK: Final = 168
#: So many times more jobs than are asked for are looked at closely for the largest ones.
_CANDIDATES: Final = 10
_HOUR: Final = 3600.0
#: The groups that a question is about, as ``_Report._fits`` finds them.
_FITTING: Final = """
    FROM run_groups WHERE (NOT :own OR :all OR uid = :uid)
    AND (:users = '[]' OR user IN (SELECT value FROM json_each(:users)))
    AND (:states = '[]' OR state IN (SELECT value FROM json_each(:states)))
    AND (:projects = '[]' OR (:all OR uid = :uid)
        AND project IN (SELECT value FROM json_each(:projects)))"""
#: First group by group, in the order of the table, then those that a report tells apart.
_SUMS: Final = f"""
    SELECT uid, user, project, state, final, gpus, {SUMS_AGAIN} FROM (
        SELECT uid, user, iif(NOT :apart, '', iif(:all OR uid = :uid, project, '*')) AS project,
            state, final, gpus, {SUMS}
        FROM (SELECT * {_FITTING}) AS g CROSS JOIN runs ON grp = g.id
        WHERE ended >= :since AND ended < :until GROUP BY g.id)
    GROUP BY uid, user, project, state, final, gpus"""  # noqa: S608 - constants of ours
_SUMS_OF_DAY: Final = f"""
    SELECT state, final, width, {SUMS} FROM runs INDEXED BY runs_ended CROSS JOIN (
        SELECT id, state, final,
            (gpus <> '') + length(gpus) - length(replace(gpus, ',', '')) AS width
        {_FITTING}) AS g ON g.id = grp
    WHERE ended >= :since AND ended < :until GROUP BY state, final, width"""  # noqa: S608
_TOP: Final = f"""
    SELECT job FROM (SELECT id {_FITTING} AND final) AS g CROSS JOIN runs ON grp = g.id
    WHERE ended >= :since AND ended < :until ORDER BY gpu_seconds DESC LIMIT :most"""  # noqa: S608
_EARLIER: Final = f"""
    SELECT job FROM (SELECT id {_FITTING} AND NOT final) AS g CROSS JOIN runs ON grp = g.id
    WHERE ended >= :since AND ended < :until
    GROUP BY job ORDER BY total(gpu_seconds) DESC LIMIT :most"""  # noqa: S608 - constants of ours
_OF_JOB: Final = f"{accounts.SELECT} WHERE job = ? AND ended >= ? AND ended < ?"
_NEWEST: Final = (
    accounts.SELECT
    + f" WHERE ended >= :since AND ended < :until AND grp IN (SELECT id {_FITTING})"
    + " ORDER BY ended DESC, job DESC LIMIT :limit"
)
_BUSY: Final = f"""
    FROM (SELECT id, 1 + length(gpus) - length(replace(gpus, ',', '')) AS width
        {_FITTING} AND gpus <> '') AS g CROSS JOIN runs ON grp = g.id
    WHERE ended > :begin AND started < :until GROUP BY width, hour"""
_BEGINS: Final = f"""
    SELECT width, CAST((max(started, :begin) - :begin) / 3600 AS INTEGER) AS hour, count(*),
        total(max(started, :begin) - :begin) {_BUSY}"""
_ENDS: Final = f"""
    SELECT width, CAST((min(ended, :until) - :begin) / 3600 AS INTEGER) AS hour, count(*),
        total(min(ended, :until) - :begin) {_BUSY}"""
_NAME: Final = "SELECT specs.body FROM jobs JOIN specs ON specs.id = spec WHERE jobs.id = ?"

RUN_FIELDS: Final = (
    *("job", "array", "tasks", "attempt", "user", "name", "project", "state", "final", "code"),
    *("signal", "submitted", "started", "ended", "elapsed", "wait", "gpus", "gpu_seconds"),
    *("time_limit", "gpu_mem", "peak", "mean", "utilization", "idle", "mine"),
)
TOP_FIELDS: Final = ("job", "user", "name", "project", "state", "attempts", "gpu_seconds", "mine")


class Group(NamedTuple):
    """What some runs have in common, as far as a report tells it apart."""

    uid: int
    user: str
    project: str
    state: str
    final: bool
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for, and what the one who asks may see.

    ``tables`` are names of :data:`TABLES`. Only what ended from ``since`` to ``until`` counts, and
    ``running``: attempts that are not over. Empty filters match all. ``uid`` is who asks:
    projects, and unless ``names`` is True names, are told of their own jobs alone, unless ``all``;
    with ``own`` so is everything. ``indices`` are the GPUs' numbers by UUID, ``days`` when days
    begin.
    """

    tables: list[str]
    since: float
    until: float
    uid: int
    all: bool
    own: bool
    names: bool
    users: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    jobs: list[int] = field(default_factory=list)
    limit: int = 1000
    top: int = 10
    running: list[Run] = field(default_factory=list)
    indices: dict[str, int] = field(default_factory=dict)
    days: list[int] = field(default_factory=list)


def connect(folder: Path | str) -> sqlite3.Connection:
    """A connection to the state in ``folder`` that cannot write."""
    path = (Path(folder) / files.DATABASE).resolve().as_uri()
    db = sqlite3.connect(f"{path}?mode=ro", uri=True, isolation_level=None, timeout=5)
    db.execute("PRAGMA query_only = ON")
    return db


def answer(db: sqlite3.Connection, asked: Question) -> Iterator[Table]:
    """The tables that are asked for."""
    db.execute("BEGIN")
    try:
        report = _Report(db, asked)
        for name in asked.tables:
            yield TABLES[name](report)
    finally:
        db.execute("ROLLBACK")


class _Report:
    """One question, and the sums that it is about, made once."""

    def __init__(self, db: sqlite3.Connection, asked: Question) -> None:
        self.db = db
        self.asked = asked
        self.running = [run for run in asked.running if self._fits_run(run)]
        self._sums: list[tuple[Group, Any]] | None = None

    def mine(self, uid: int) -> bool:
        """Whether what is private of a job of ``uid`` may be told."""
        return self.asked.all or uid == self.asked.uid

    def span(self) -> tuple[float, float]:
        """From when to when."""
        return self.asked.since, self.asked.until

    def query(self, statement: str, **more: Any) -> sqlite3.Cursor:
        """Ask the database with all that the question says, and ``more``."""
        asked = self.asked
        lists = {"users": asked.users, "states": asked.states, "projects": asked.projects}
        given: dict[str, Any] = {name: json.dumps(values) for name, values in lists.items()}
        given |= {"own": asked.own, "all": asked.all, "uid": asked.uid}
        given |= {"since": asked.since, "until": asked.until}
        return self.db.execute(statement, {**given, **more})

    def sums(self) -> list[tuple[Group, Any]]:
        """The sums of what is told apart, and of each attempt that runs."""
        if self._sums is None:
            if self.asked.jobs:
                runs = [*self.listed(None), *self.running]
                self._sums = []
            else:
                runs = self.running
                rows = self.query(_SUMS, apart="project" in self.asked.tables)
                self._sums = [(_group_in(row), row[len(Group._fields) :]) for row in rows]
            self._sums += [(_group_of(run), sums_of(run)) for run in runs]
        return self._sums

    def of_day(self) -> Tally:
        """What all of it comes to, where it is about a short time: attempt by attempt."""
        tally = Tally()
        if self.asked.jobs:
            for group, sums in self.sums():
                tally.add(group.state, sums, len(group.gpus), final=group.final)
            return tally
        for state, final, width, *found in self.query(_SUMS_OF_DAY):
            tally.add(state, found, width, final=bool(final))
        for run in self.running:
            tally.add(run.state, sums_of(run), len(run.gpus), final=run.final)
        return tally

    def listed(self, limit: int | None) -> list[Run]:
        """The attempts themselves, the newest first."""
        if self.asked.jobs:
            every = (self.db.execute(_OF_JOB, (job, *self.span())) for job in self.asked.jobs)
            runs = [accounts.run_of(row) for rows in every for row in rows]
            runs = [run for run in runs if self._fits_run(run)]
            runs.sort(key=lambda run: (run.ended, run.job, run.attempt), reverse=True)
            return runs[:limit]
        found = self.query(_NEWEST, limit=-1 if limit is None else limit)
        return [accounts.run_of(row) for row in found]

    def name(self, job: int, uid: int) -> str | None:
        """The name of a job, if it may be told and is still known."""
        if not (self.asked.names or self.mine(uid)):
            return None
        row = self.db.execute(_NAME, (job,)).fetchone()
        return None if row is None else records.unpack_spec(row[0], "specs row").name

    def project(self, project: str, uid: int) -> str | None:
        """The name of a job's project, if it may be told."""
        return project if self.mine(uid) else None

    def _fits(self, group: Group) -> bool:
        asked = self.asked
        return (
            not (asked.own and not self.mine(group.uid))
            and not (asked.users and group.user not in asked.users)
            and not (asked.states and group.state not in asked.states)
            and not (
                asked.projects and not (self.mine(group.uid) and group.project in asked.projects)
            )
        )

    def _fits_run(self, run: Run) -> bool:
        known = not self.asked.jobs or run.job in self.asked.jobs or run.array in self.asked.jobs
        return known and self._fits(_group_of(run))


def _group_of(run: Run) -> Group:
    return Group(run.uid, run.user, run.project, run.state, run.final, run.gpus)


def _group_in(row: tuple[Any, ...]) -> Group:
    uid, user, project, state, final, gpus = row[: len(Group._fields)]
    return Group(uid, user, project, state, bool(final), tuple(gpus.split(",")) if gpus else ())


def _table(name: str, fields: tuple[str, ...], rows: list[list[Any]]) -> Table:
    return (name, list(fields), rows)


def _by(name: str, key: Callable[[_Report, Group], str]) -> Callable[[_Report], Table]:
    """A table of sums, one row for each value of ``key``, the most GPU time first."""

    def made(report: _Report) -> Table:
        tallies: dict[str, Tally] = defaultdict(Tally)
        for group, sums in report.sums():
            tally = tallies[key(report, group)]
            tally.add(group.state, sums, len(group.gpus), final=group.final)
        return _table(name, (name, *FIELDS), _sorted(tallies))

    return made


def _sorted(tallies: dict[str, Tally]) -> list[list[Any]]:
    rows = [tally.row(name) for name, tally in tallies.items() if tally.attempts or tally.ends]
    at = 1 + FIELDS.index("gpu_seconds")
    return sorted(rows, key=lambda row: (-row[at], -row[1], row[0]))


def _gpus(report: _Report) -> Table:
    """Each GPU by number, or by UUID where it is gone; of jobs on several a part each."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    for group, sums in report.sums():
        for uuid in group.gpus:
            index = report.asked.indices.get(uuid)
            tally = tallies[uuid if index is None else f"gpu{index}"]
            share = 1 / len(group.gpus)
            tally.add(group.state, sums, len(group.gpus), share, final=group.final)
    rows = _sorted(tallies)
    rows.sort(key=lambda row: (len(row[0]), row[0]))
    return _table("gpu", ("gpu", *FIELDS), rows)


def _days(report: _Report) -> Table:
    """Each day, by when it begins: what ended in it; what runs counts for the last one."""
    asked, rows = report.asked, []
    for begin, end in pairwise([*asked.days, max(asked.until, asked.days[-1] + 1)]):
        running = asked.running if end >= asked.until else []
        since, until = max(asked.since, begin), min(asked.until, end)
        day = replace(asked, since=since, until=until, running=running)
        rows.append([begin, *_Report(report.db, day).of_day().row("")[1:]])
    return _table("day", ("day", *FIELDS), rows)


def _hours(report: _Report) -> Table:
    """The GPU-seconds in each hour of the last week: (Unix time of the hour, GPU-seconds)."""
    end = -(-report.asked.until // _HOUR) * _HOUR
    begin, until = end - WEEK * _HOUR, report.asked.until
    busy = [0.0] * (WEEK + 1)  # GPUs in use, hour by hour, as differences
    part = [0.0] * (WEEK + 1)  # what of the hour of a begin or an end is not in that
    for query, sign in ((_BEGINS, 1), (_ENDS, -1)):
        for width, hour, count, seconds in report.query(query, begin=begin):
            _step(busy, part, hour, sign * width * count, sign * width * seconds)
    for run in report.running:
        if run.started is not None:
            width = len(run.gpus)
            for at, sign in ((max(run.started, begin), 1), (min(run.ended, until), -1)):
                past = at - begin
                _step(busy, part, int(past // _HOUR), sign * width, sign * width * past)
    level, filled = 0.0, []
    for hour in range(WEEK):
        filled.append([begin + hour * _HOUR, max(0.0, level * _HOUR + part[hour])])
        level += busy[hour]
    return _table("hours", ("hour", "gpu_seconds"), filled)


def _step(busy: list[float], part: list[float], hour: int, count: float, seconds: float) -> None:
    """GPUs come into use in this hour, ``seconds`` after the first one in all."""
    busy[hour] += count
    part[hour] += count * (hour + 1) * _HOUR - seconds


def _top(report: _Report) -> Table:
    """The jobs with the most GPU time, all their attempts of this time together."""
    jobs = {run.job for run in report.running}
    jobs |= {run.job for run in report.listed(None)} if report.asked.jobs else _largest(report)
    rows = [row for job in jobs if (row := _top_row(report, job))]
    at = TOP_FIELDS.index("gpu_seconds")
    rows.sort(key=lambda row: (-row[at], row[0]))
    return _table("top", TOP_FIELDS, rows[: report.asked.top])


def _largest(report: _Report) -> set[int]:
    """The jobs that can be among the first ones: by their last attempt, or by the earlier ones."""
    most = _CANDIDATES * report.asked.top
    return {job for query in (_TOP, _EARLIER) for (job,) in report.query(query, most=most)}


def _top_row(report: _Report, job: int) -> list[Any]:
    found = report.db.execute(_OF_JOB, (job, *report.span()))
    runs = [accounts.run_of(row) for row in found]
    runs += [run for run in report.running if run.job == job]
    if not runs:
        return []
    last = max(runs, key=lambda run: (run.ended, run.attempt))
    attempts = sum(run.started is not None for run in runs)
    return [
        job,
        last.user,
        report.name(job, last.uid),
        report.project(last.project, last.uid),
        last.state,
        attempts,
        sum(run.gpu_seconds for run in runs),
        last.uid == report.asked.uid,
    ]


def _runs(report: _Report) -> Table:
    """The attempts themselves, those that run first, then the newest."""
    limit = report.asked.limit
    running = sorted(report.running, key=lambda run: run.job)
    runs = [*running, *report.listed(limit)][:limit]
    return _table("runs", RUN_FIELDS, [_run_row(report, run) for run in runs])


def _run_row(report: _Report, run: Run) -> list[Any]:
    indices = report.asked.indices
    gpus = sorted(indices[uuid] for uuid in run.gpus if uuid in indices)
    strangers = [uuid for uuid in run.gpus if uuid not in indices]
    return [
        *(run.job, run.array, run.tasks, run.attempt, run.user, report.name(run.job, run.uid)),
        *(report.project(run.project, run.uid), run.state, run.final, run.code, run.signal),
        *(run.submitted, run.started, run.ended, run.elapsed, run.wait),
        [*gpus, *strangers],
        *(run.gpu_seconds, run.time_limit, run.gpu_mem, run.peak, run.mean, run.utilization),
        *(run.idle, run.uid == report.asked.uid),
    ]


#: What can be asked for.
TABLES: Final[dict[str, Callable[[_Report], Table]]] = {
    "total": _by("total", lambda _report, _group: "all"),
    "user": _by("user", lambda _report, group: group.user),
    "project": _by(
        "project", lambda report, group: group.project if report.mine(group.uid) else "*"
    ),
    "state": _by("state", lambda _report, group: group.state),
    "gpu": _gpus,
    "day": _days,
    "hours": _hours,
    "top": _top,
    "runs": _runs,
}
