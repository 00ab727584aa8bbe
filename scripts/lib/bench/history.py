"""A state with a long history: jobs that ended in the last year, with all that is kept of them."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from mgpu.model.events import Event, Finished, Launched, Started, Submitted
from mgpu.model.job import Ended, Job, JobSpec
from mgpu.model.runs import Run
from mgpu.model.time import Now
from mgpu.store import accounts, rows
from mgpu.store.sqlite import open_store

USERS: Final = 60
GPUS: Final = 16
FIRST_UID: Final = 30_000
SPAN: Final = 365 * 86400.0
_BATCH: Final = 20_000
_JOB: Final = f"INSERT INTO jobs VALUES ({', '.join('?' * 16)})"
_EVENT: Final = "INSERT INTO events(at, kind, job, attempt, uid, body) VALUES (?, ?, ?, ?, ?, ?)"
_STATES: Final = ["COMPLETED"] * 7 + ["FAILED"] * 2 + ["CANCELLED", "TIMEOUT"]


def fill(state: Path, count: int, wall: float, first: int = 1, span: float = SPAN) -> None:
    """Put ``count`` jobs from the number ``first`` on that ended up to ``wall`` into a state."""
    store = open_store(state, wall)
    db: sqlite3.Connection = store._db  # noqa: SLF001 - a million commits would take a day
    db.execute("PRAGMA synchronous = OFF")
    made = _made(count, wall, first, span)
    while batch := list(islice(made, _BATCH)):
        db.execute("BEGIN")
        db.executemany(_JOB, rows.of_jobs(job for job, _, _ in batch))
        specs = [event for _, events, _ in batch for event in events[:1]]
        db.executemany("INSERT INTO specs VALUES (?, ?)", rows.of_specs(specs))
        db.executemany(_EVENT, (rows.of_event(e) for _, events, _ in batch for e in events))
        accounts.put(db, (run for _, _, run in batch))
        db.execute("COMMIT")
    store.close()


def _made(
    count: int, wall: float, first: int, span: float
) -> Iterator[tuple[Job, list[Event], Run]]:
    chance = random.Random(3)
    for number in range(first, first + count):
        ended = wall - span * (1 - (number - first + 1) / count)
        yield _one(number, ended, chance)


def _one(number: int, ended: float, chance: random.Random) -> tuple[Job, list[Event], Run]:
    uid = FIRST_UID + chance.randrange(USERS)
    user, state = f"bench{uid}", chance.choice(_STATES)
    wide = chance.choice([1, 1, 1, 2, 4])
    at = chance.randrange(GPUS // wide) * wide
    gpus = tuple(f"GPU-{index:08x}-0000-4000-8000-000000000000" for index in range(at, at + wide))
    started = ended - chance.expovariate(1 / 200)
    submitted = started - chance.expovariate(1 / 1800)
    project = ("", "vision", "speech")[uid % 3]
    spec = JobSpec(
        number, f"train-{number % 50}", "python train.py", "/home/u", wide, 8000, project=project
    )
    code = 0 if state == "COMPLETED" else 1
    phase = Ended(state, ended, started, code, None, "", gpus)
    job = Job(number, uid, user, spec, submitted, number, phase, attempt=1)
    began = Now(started, 1.0)
    events: list[Event] = [
        Submitted(Now(submitted, 1.0), number, 1, uid, user, spec, 0),
        Started(began, number, 1, gpus),
        Launched(began, number, 1, 4242, 987654),
        Finished(Now(ended, 1.0), number, 1, state, code),
    ]
    use: dict[str, Any] = {"peak": 7000, "mean": 5000.0, "seen": ended - started}
    run = Run(
        *(number, 1, uid, user, project, state, True, submitted, ended, started),
        wait=started - submitted,
        code=code,
        gpus=gpus,
        gpu_mem=8000,
        utilization=float(chance.randrange(100)),
        idle=60.0,
        **use,
    )
    return job, events, run
