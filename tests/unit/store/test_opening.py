"""Opening the state: new, older, newer, foreign, damaged, in use."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mgpu.store import files, schema
from mgpu.store.base import (
    ANSWER_AGE,
    Batch,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreNewer,
    StoreReadOnly,
)
from mgpu.store.faults import as_store_error, of_os_error
from mgpu.store.sqlite import open_store
from tests.lib.samples import NOW, PHASES, job, submitted

AT = NOW.wall
JOBS = 300


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A state folder with jobs in it, closed."""
    store = open_store(tmp_path, AT)
    jobs = [job(number) for number in range(1, JOBS + 1)]
    payloads = {one.id: b"x" * 500 for one in jobs}
    store.commit(Batch(AT, [submitted(one) for one in jobs], jobs, payloads))
    store.close()
    return tmp_path


def change(home: Path, *statements: str) -> None:
    connection = sqlite3.connect(home / files.DATABASE, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def digest(home: Path) -> str:
    return hashlib.sha256((home / files.DATABASE).read_bytes()).hexdigest()


def test_nobody_else_can_read_the_state(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = open_store(tmp_path / "a" / "state", AT)
        one = job(1)
        store.commit(Batch(AT, [submitted(one)], [one]))
        folder = tmp_path / "a" / "state"
        assert folder.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        store.close()
    finally:
        os.umask(old)
    assert set(modes) == {"mgpu.db", "mgpu.db-wal", "mgpu.db-shm", "lock", "ballast"}
    assert set(modes.values()) == {0o600}


def test_the_log_is_synced_at_every_commit(home: Path) -> None:
    store = open_store(home, AT)
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "locking_mode")
    values = [store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    store.close()
    assert values == ["wal", 2, 0, "normal"]


def test_a_newer_state_is_refused_and_left_alone(home: Path) -> None:
    change(home, f"PRAGMA user_version = {schema.VERSION + 1}")
    before = digest(home)
    with pytest.raises(StoreNewer, match=f"version {schema.VERSION + 1}") as caught:
        open_store(home, AT)
    assert caught.value.hint
    assert digest(home) == before


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    change(tmp_path, "CREATE TABLE music (title TEXT)")
    before = digest(tmp_path)
    with pytest.raises(StoreCorrupt, match="not one of mgpu"):
        open_store(tmp_path, AT)
    assert digest(tmp_path) == before


def test_an_older_state_is_upgraded_after_a_backup(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, new = schema.VERSION, schema.VERSION + 1
    monkeypatch.setattr(schema, "VERSION", new)
    monkeypatch.setattr(schema, "STEPS", {now: ("ALTER TABLE jobs ADD COLUMN extra TEXT",)})
    store = open_store(home, AT)
    assert len(store.load().jobs) == JOBS
    assert store._db.execute("PRAGMA user_version").fetchone() == (new,)
    store.close()
    backup = home / f"mgpu.db.v{now}.20231114T221320Z"
    assert backup.stat().st_mode & 0o777 == 0o600
    rows = sqlite3.connect(backup).execute("SELECT count(*) FROM jobs").fetchone()
    assert rows == (JOBS,)


def test_an_upgrade_that_fails_leaves_the_old_state(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", now + 1)
    steps = ("ALTER TABLE jobs ADD COLUMN extra TEXT", "SELECT no_such_function()")
    monkeypatch.setattr(schema, "STEPS", {now: steps})
    with pytest.raises(StoreError):
        open_store(home, AT)
    monkeypatch.undo()
    store = open_store(home, AT)
    assert len(store.load().jobs) == JOBS
    store.close()


def damage(home: Path, offset: int, length: int = 2000) -> None:
    with (home / files.DATABASE).open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * length)


@pytest.mark.parametrize("offset", [0, 20, 4096 * 4, 4096 * 9])
def test_a_damaged_state_is_refused_and_left_alone(home: Path, offset: int) -> None:
    damage(home, offset)
    before = digest(home)
    with pytest.raises(StoreCorrupt) as caught:
        open_store(home, AT)
    assert caught.value.hint
    assert digest(home) == before
    assert [path.name for path in files.copy_aside(home, AT)] == [
        "mgpu.db.damaged.20231114T221320Z",
        *(["mgpu.db.damaged.20231114T221320Z-wal"] if (home / "mgpu.db-wal").exists() else []),
    ]


def test_a_cut_off_state_is_refused(home: Path) -> None:
    os.truncate(home / files.DATABASE, 4096 * 5)
    with pytest.raises(StoreCorrupt):
        open_store(home, AT)


BAD_ROWS = [
    ("UPDATE jobs SET spec = 999 WHERE id = 4", "specs row 999: missing"),
    ("UPDATE jobs SET phase = x'93010203' WHERE id = 4", "jobs row 4"),
    ("UPDATE specs SET body = x'c0' WHERE id = 4", "specs row 4"),
]


@pytest.mark.parametrize(("statement", "words"), BAD_ROWS)
def test_a_row_that_makes_no_sense_is_named(home: Path, statement: str, words: str) -> None:
    change(home, statement)
    store = open_store(home, AT)
    with pytest.raises(StoreCorrupt, match=words):
        store.load()
    store.close()


@pytest.mark.parametrize("uid", [-1, 2**32 - 1, 2**32])
def test_a_uid_that_is_none_is_refused_at_the_start(home: Path, uid: int) -> None:
    change(home, "PRAGMA ignore_check_constraints = ON", f"UPDATE jobs SET uid = {uid}")
    with pytest.raises(StoreCorrupt):
        open_store(home, AT)


@pytest.mark.parametrize("uid", [-1, 2**32, True, "0; --", None])
def test_a_uid_that_is_none_is_never_stored(home: Path, uid: object) -> None:
    store = open_store(home, AT)
    one = job(JOBS + 1, uid=uid)
    with pytest.raises((StoreError, ValueError)):
        store.commit(Batch(AT, [submitted(one)], [one]))
    assert store.job(JOBS + 1) is None
    store.close()


def test_half_a_batch_is_never_stored(home: Path) -> None:
    store = open_store(home, AT)
    good, bad = job(1, PHASES["Running"]), job(JOBS + 1, submitted=float("nan"))
    with pytest.raises(StoreError):
        store.commit(Batch(AT, jobs=[good, bad], payloads={1: b"new"}, meta={"boot_id": "x"}))
    assert store.job(1) == job(1)
    assert store.payload(1) == b"x" * 500
    assert store.load().boot_id == ""
    store.close()


def test_one_process_at_a_time_holds_the_state(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LOCK_TRIES", 2)
    code = (
        "import sys; from mgpu.store.sqlite import open_store; s = open_store(sys.argv[1], 0.0);"
        "print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreBusy, match="another scheduler"):
            open_store(home, AT)
        holder.kill()
    open_store(home, AT).close()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="state"):
        open_store(tmp_path / "state", AT)


def test_a_fault_of_the_disk_is_none_of_the_known_ones() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = 10
    assert type(as_store_error(error)) is StoreError
    assert type(of_os_error(OSError(5, "Input/output error"), "/x")) is StoreError
    assert type(of_os_error(OSError(30, "Read-only file system"), "/x")) is StoreReadOnly


def test_old_answers_are_forgotten_at_the_start(tmp_path: Path) -> None:
    store = open_store(tmp_path, AT)
    store.commit(Batch(AT, answers=[(1, "old", {})]))
    store.commit(Batch(AT + ANSWER_AGE, answers=[(1, "new", {})]))
    store.close()
    later = open_store(tmp_path, AT + ANSWER_AGE + 1)
    assert later.answer(1, "old") is None
    assert later.answer(1, "new") == {}
    later.close()
