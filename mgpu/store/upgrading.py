"""What an upgrade makes of what older versions kept."""

from __future__ import annotations

import sqlite3
from typing import Final

from mgpu.store import accounts, records, rows

#: The first version with a history of attempts.
_WITH_RUNS: Final = 3


def fill(db: sqlite3.Connection, version: int) -> None:
    """Account for the jobs that ended before attempts were kept: one run each."""
    if version >= _WITH_RUNS:
        return
    specs = db.execute("SELECT id, body FROM specs").fetchall()
    known = {number: records.unpack_spec(body, f"specs row {number}") for number, body in specs}
    reader = rows.Reader(known.__getitem__, known)
    ended = db.execute(f"{rows.SELECT_JOBS} WHERE ended IS NOT NULL")
    accounts.put(db, (accounts.of_ended(reader.job(row)) for row in ended))
