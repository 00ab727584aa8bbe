"""The history of attempts in the database: what is written of each, and read of one job."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from mgpu.model.job import Ended, Job
from mgpu.model.runs import Run

#: The columns of a run beside those of its group, in the order of the statement below.
COLUMNS: Final = (
    *("ended", "job", "attempt", "tasks", "gpu_seconds", "submitted", "started", "wait"),
    *("peak", "mean", "utilization", "idle", "seen", "code", "signal", "gpu_mem", "time_limit"),
    "array",
)
_GROUP: Final = "uid, user, project, state, final, gpus"
_PUT_GROUP: Final = f"INSERT OR IGNORE INTO run_groups({_GROUP}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - our names
_PUT: Final = f"""
    INSERT OR REPLACE INTO runs(grp, {", ".join(COLUMNS)})
    SELECT id, {", ".join("?" * len(COLUMNS))} FROM run_groups
    WHERE ({_GROUP}) = (?, ?, ?, ?, ?, ?)"""  # noqa: S608 - names of ours
#: A run as :func:`run_of` takes it.
SELECT: Final = f"""
    SELECT {_GROUP}, {", ".join(COLUMNS)} FROM runs CROSS JOIN run_groups ON id = grp"""  # noqa: S608
_OF_JOB: Final = f"{SELECT} WHERE job = ? ORDER BY ended, attempt"


def put(db: sqlite3.Connection, runs: Iterable[Run]) -> None:
    """Add attempts that are over."""
    for run in runs:
        group = _group(run)
        db.execute(_PUT_GROUP, group)
        db.execute(_PUT, (*(getattr(run, name) for name in COLUMNS), *group))


def of_job(db: sqlite3.Connection, job: int) -> list[Run]:
    """The attempts of a job, in order."""
    return [run_of(row) for row in db.execute(_OF_JOB, (job,))]


def run_of(row: Sequence[Any]) -> Run:
    """The run of a row of :data:`SELECT`."""
    uid, user, project, state, final, gpus, *rest = row
    given = dict(zip(COLUMNS, rest, strict=True))
    del given["gpu_seconds"]
    return Run(
        uid=uid,
        user=user,
        project=project,
        state=state,
        final=bool(final),
        gpus=tuple(gpus.split(",")) if gpus else (),
        **given,
    )


def of_ended(job: Job) -> Run:
    """The last attempt of a job that has ended, as far as the job itself tells."""
    phase = job.phase
    assert isinstance(phase, Ended)  # noqa: S101 - the caller chose it so
    peaks = [peak for _, peak in job.peaks]
    started = phase.started
    wait = max(0.0, started - max(job.submitted, job.begin)) if started is not None else None
    return Run(
        job.id,
        job.attempt if started is not None else 0,
        job.uid,
        job.user,
        job.spec.project,
        phase.state,
        True,
        job.submitted,
        phase.ended,
        started,
        wait=wait if job.attempt == 1 else None,
        array=job.array,
        tasks=1 if job.tasks is None else len(job.tasks),
        code=phase.code,
        signal=phase.signal,
        gpus=phase.gpus,
        gpu_mem=job.spec.gpu_mem,
        time_limit=job.spec.time_limit,
        peak=max(peaks, default=None),
    )


def _group(run: Run) -> tuple[Any, ...]:
    gpus = ",".join(sorted(run.gpus))
    return (run.uid, run.user, run.project, run.state, int(run.final), gpus)
