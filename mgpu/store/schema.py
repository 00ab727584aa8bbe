"""The database's tables, their version, and the steps from older versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mgpu.store.base import StoreCorrupt, StoreNewer

#: Written into the file's header, so that another program's database is not taken for ours.
APPLICATION_ID: Final = 0x6D677075
VERSION: Final = 6

_RECORDS: Final = """CREATE TABLE records (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID"""

#: Who ran, how it ended, and where: what most of the history has in common.
_RUN_GROUPS: Final = """CREATE TABLE run_groups (
        id INTEGER PRIMARY KEY,
        uid INTEGER NOT NULL,
        user TEXT NOT NULL,
        project TEXT NOT NULL,
        state TEXT NOT NULL,
        final INTEGER NOT NULL,
        gpus TEXT NOT NULL,
        UNIQUE (uid, user, project, state, final, gpus)
    ) STRICT"""
#: In the order in which reports add up: one group after the other, each by time.
_RUNS: Final = """CREATE TABLE runs (
        grp INTEGER NOT NULL,
        ended REAL NOT NULL,
        job INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        tasks INTEGER NOT NULL,
        gpu_seconds REAL NOT NULL,
        submitted REAL NOT NULL,
        started REAL,
        wait REAL,
        peak INTEGER,
        mean REAL,
        utilization REAL,
        idle REAL,
        seen REAL NOT NULL,
        code INTEGER,
        signal INTEGER,
        gpu_mem INTEGER,
        time_limit INTEGER,
        array INTEGER NOT NULL,
        PRIMARY KEY (grp, ended, job, attempt)
    ) STRICT, WITHOUT ROWID"""
_OF_RUNS: Final = (
    _RUN_GROUPS,
    _RUNS,
    "CREATE INDEX runs_ended ON runs(ended)",
    "CREATE INDEX runs_of ON runs(job)",
)

_OF_SPEC: Final = "CREATE INDEX jobs_of_spec ON jobs(spec)"

TABLES: Final = (
    """CREATE TABLE specs (
        id INTEGER PRIMARY KEY,
        body BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        uid INTEGER NOT NULL CHECK (uid BETWEEN 0 AND 4294967294),
        user TEXT NOT NULL,
        spec INTEGER NOT NULL,
        submitted REAL NOT NULL,
        seq INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        restarts INTEGER NOT NULL,
        deferrals INTEGER NOT NULL,
        state TEXT NOT NULL,
        ended REAL,
        phase BLOB NOT NULL,
        array INTEGER NOT NULL DEFAULT 0,
        task INTEGER,
        more BLOB
    ) STRICT""",
    "CREATE INDEX jobs_active ON jobs(id) WHERE ended IS NULL",
    "CREATE INDEX jobs_ended ON jobs(ended) WHERE ended IS NOT NULL",
    "CREATE INDEX jobs_ended_of ON jobs(uid, ended) WHERE ended IS NOT NULL",
    "CREATE INDEX jobs_of_array ON jobs(array, task) WHERE array > 0",
    "CREATE TABLE payloads (spec INTEGER PRIMARY KEY, body BLOB NOT NULL, unused REAL) STRICT",
    "CREATE INDEX payloads_unused ON payloads(unused) WHERE unused IS NOT NULL",
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        job INTEGER NOT NULL,
        attempt INTEGER,
        uid INTEGER,
        body BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX events_of_job ON events(job) WHERE job > 0",
    """CREATE TABLE answers (
        id INTEGER PRIMARY KEY,
        uid INTEGER NOT NULL,
        key TEXT NOT NULL,
        at REAL NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (uid, key)
    ) STRICT""",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    _RECORDS,
    *_OF_RUNS,
    _OF_SPEC,
)

#: version -> the statements that make the next version of it.
STEPS: Final[Mapping[int, Sequence[str]]] = {
    1: (
        "ALTER TABLE jobs ADD COLUMN array INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN task INTEGER",
        "ALTER TABLE jobs ADD COLUMN more BLOB",
        "CREATE INDEX jobs_of_array ON jobs(array, task) WHERE array > 0",
        _RECORDS,
    ),
    2: _OF_RUNS,
    3: (
        "ALTER TABLE payloads ADD COLUMN unused REAL",
        "CREATE INDEX payloads_unused ON payloads(unused) WHERE unused IS NOT NULL",
        "CREATE INDEX events_of_job ON events(job) WHERE job > 0",
    ),
    4: (_OF_SPEC,),
    5: (),  # other sizes of jobs lie beside another time limit and class
}


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the open file, 0 for an empty one.

    Raises :class:`StoreNewer`, or :class:`StoreCorrupt` where the file is no state of mgpu.
    """
    version = _pragma(connection, "user_version")
    if _pragma(connection, "application_id") != APPLICATION_ID:
        if version or _pragma(connection, "schema_version"):
            raise StoreCorrupt("this database is not one of mgpu", "move it away")
        return 0
    if version > VERSION:
        raise StoreNewer(
            f"the state has version {version}, this mgpu knows {VERSION} and older",
            "install the mgpu that wrote it, or restore the backup made at the upgrade",
        )
    return version


def prepare(
    connection: sqlite3.Connection,
    backup: Callable[[int], object],
    fill: Callable[[int], object] = lambda _: None,
) -> None:
    """Make or upgrade the tables. ``backup(version)`` is called before an upgrade.

    ``fill(version)`` fills new tables from old ones, in the transaction of the upgrade.
    """
    version = version_of(connection)
    if version == 0:
        _apply(connection, TABLES)
    elif version < VERSION:
        backup(version)
        steps = [step for old in range(version, VERSION) for step in STEPS[old]]
        _apply(connection, steps, lambda: fill(version))


def _apply(
    connection: sqlite3.Connection,
    statements: Sequence[str],
    fill: Callable[[], object] = lambda: None,
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in statements:
        connection.execute(statement)
    fill()
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
