"""Removing what is old from the database, a bounded number of rows at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection
from typing import Final

_OLD_JOBS: Final = """
    SELECT id, spec FROM jobs
    WHERE ended < :before AND id NOT IN (SELECT value FROM json_each(:keep))
        AND (array = 0 OR array NOT IN (SELECT value FROM json_each(:keep)))
    ORDER BY ended LIMIT :limit"""
_OLD_RUNS: Final = """
    DELETE FROM runs WHERE (grp, ended, job, attempt) IN (
        SELECT grp, ended, job, attempt FROM runs WHERE ended < ? ORDER BY ended LIMIT ?)"""
_EMPTY_GROUPS: Final = """
    DELETE FROM run_groups WHERE NOT EXISTS (SELECT 1 FROM runs WHERE grp = run_groups.id)"""
_FIRST_EVENTS: Final = "SELECT seq, at FROM events ORDER BY seq LIMIT ?"


def _jobs(db: sqlite3.Connection, before: float, limit: int, keep: Collection[int]) -> int:
    """Jobs, and the specs that no other job has."""
    wanted = {"before": before, "limit": limit, "keep": json.dumps(sorted(keep))}
    old = db.execute(_OLD_JOBS, wanted).fetchall()
    db.executemany("DELETE FROM jobs WHERE id = ?", [(number,) for number, _ in old])
    for spec in {spec for _, spec in old}:
        if db.execute("SELECT 1 FROM jobs WHERE spec = ? LIMIT 1", (spec,)).fetchone() is None:
            db.execute("DELETE FROM specs WHERE id = ?", (spec,))
    return len(old)


def _usage(db: sqlite3.Connection, before: float, limit: int, _keep: Collection[int]) -> int:
    """Attempts; after the last of them, what none has in common any more."""
    count = db.execute(_OLD_RUNS, (before, limit)).rowcount
    if 0 < count < limit:
        db.execute(_EMPTY_GROUPS)
    return count


def _events(db: sqlite3.Connection, before: float, limit: int, _keep: Collection[int]) -> int:
    """Events from the first one on, as long as they are old."""
    last = count = 0
    for seq, at in db.execute(_FIRST_EVENTS, (limit,)).fetchall():
        if at >= before:
            break
        last, count = seq, count + 1
    if count:
        db.execute("DELETE FROM events WHERE seq <= ?", (last,))
    return count


#: The statements for each of ``base.FORGOTTEN``.
FORGET: Final[dict[str, Callable[[sqlite3.Connection, float, int, Collection[int]], int]]] = {
    "jobs": _jobs,
    "usage": _usage,
    "events": _events,
}
