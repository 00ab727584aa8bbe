"""Copies of the database that are known to be whole: made while it is in use, and put back.

Both are programs of their own: a process that closes the database file would let go of SQLite's
locks on it (fcntl(2)), and a copy takes as long as the disk does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

import msgpack

from mgpu.model.events import Audited
from mgpu.model.time import Now
from mgpu.store import files, rows, schema
from mgpu.store.base import StoreCorrupt, StoreError, StoreNewer
from mgpu.store.faults import as_store_error, of_os_error
from mgpu.system.process import end_with

#: Below the state folder: the copies, of which the newest are kept, and the last ones of some days.
FOLDER: Final = "backups"
MOST_KEPT: Final = 5
DAYS_KEPT: Final = 7
_DAY: Final = len("YYYYMMDD")
#: Below the state folder: a folder for each attempt under way, named JOB.ATTEMPT.
ATTEMPTS: Final = "attempts"
_RENUMBER: Final = "UPDATE jobs SET attempt = ? WHERE id = ? AND state = 'PENDING' AND attempt < ?"
_ONCE_COUNTED: Final = """INSERT INTO sqlite_sequence(name, seq) SELECT 'jobs', 0
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'jobs')"""
_COUNT_ON: Final = "UPDATE sqlite_sequence SET seq = ? WHERE name = 'jobs' AND seq < ?"
_HINT: Final = "take another copy: mgpu_ctl db backup makes one"
_GIVE: Final = "give a file that mgpu_ctl db backup has made"


def verify(path: Path) -> dict[str, Any]:
    """What a copy holds: version, jobs, bytes; raises StoreError where it is not whole."""
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        version = schema.version_of(connection)
        if not version:
            raise StoreCorrupt("this is no state of mgpu", _HINT)
        verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreCorrupt(f"it is damaged: {verdict}", _HINT)
        jobs = connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
    except sqlite3.Error as error:
        raise as_store_error(error) from error
    finally:
        connection.close()
    return {"version": version, "jobs": jobs, "bytes": path.stat().st_size}


def back_up(state: Path, stamp: str, *, keep: bool) -> dict[str, Any]:
    """Copy the database, which must not change meanwhile, and verify the copy."""
    folder = state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    new = folder / f".{files.DATABASE}.new"
    try:
        with (state / files.DATABASE).open("rb") as source:
            _copy(source, new)
        told = verify(new)
        if keep:
            target = folder / f"{files.DATABASE}.{stamp}"
            new.rename(target)
            files.sync(folder)
            _prune(folder)
            told["path"] = str(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
    return told


def restore(
    state: Path, source: IO[bytes], stamp: str, name: str, now: float = 0.0
) -> dict[str, Any]:
    """Put a verified copy in the place of the database, which is put aside with its log.

    ``name`` is what the user calls ``source``; the copy's audit trail says that it was restored.

    The database has its name all the time: what is killed here is done by the next start, or not.
    """
    home = files.Home.take(state)
    new = state / f".{files.DATABASE}.restoring"
    try:
        _copy(source, new)
        told = _verify_given(new, name)
        _pass_over(new, state / ATTEMPTS)
        _note(new, name, now)
        aside = f"{files.DATABASE}.before.{stamp}"
        for tail in ("", "-wal"):
            if _link(state / f"{files.DATABASE}{tail}", state / f"{aside}{tail}"):
                told["aside"] = str(state / aside)
        new.rename(state / files.RESTORED)
        files.sync(state)
        files.finish_restore(state)
    finally:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        home.close()
    return told


def _verify_given(new: Path, name: str) -> dict[str, Any]:
    """``verify``, whose faults are those of the file that was given, not of the database."""
    try:
        return verify(new)
    except StoreNewer as fault:
        raise StoreNewer(f"{name}: {fault.message}", fault.hint) from fault
    except StoreCorrupt as fault:
        raise StoreCorrupt(f"{name}: {fault.__cause__ or fault.message}", _GIVE) from fault


def _pass_over(new: Path, attempts: Path) -> None:
    """What runs now keeps its numbers to itself, until its end: no job and no attempt gets them."""
    names = [path.name.split(".") for path in attempts.glob("*.*")]
    found = [(int(job), int(attempt)) for job, attempt in names if (job + attempt).isdecimal()]
    if not found:
        return
    last = max(job for job, _ in found)
    try:
        with contextlib.closing(sqlite3.connect(new)) as connection, connection:
            connection.executemany(_RENUMBER, [(a, job, a) for job, a in found])
            connection.execute(_ONCE_COUNTED)
            connection.execute(_COUNT_ON, (last, last))
    except sqlite3.Error as error:
        raise as_store_error(error) from error


def _note(new: Path, name: str, now: float) -> None:
    """Say in the audit trail who has done this: root, who alone can."""
    event = Audited(Now(now, 0.0), 0, "restore", name, "ok")
    try:
        with contextlib.closing(sqlite3.connect(new)) as connection, connection:
            connection.execute(rows.PUT_EVENT, rows.of_event(event))
    except sqlite3.Error as error:
        raise as_store_error(error) from error


def _link(old: Path, aside: Path) -> bool:
    """Give a file a second name. False if it is not there."""
    aside.unlink(missing_ok=True)
    try:
        os.link(old, aside)
    except FileNotFoundError:
        return False
    return True


def _copy(source: IO[bytes], target: Path) -> None:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


def _prune(folder: Path) -> None:
    """Remove old copies, whose names are in the order of time.

    The last one of each day stays for a while: many copies of one day push out none of another.
    """
    copies = sorted(folder.glob(f"{files.DATABASE}.*"))
    last_of = {path.name[: len(files.DATABASE) + 1 + _DAY]: path for path in copies}
    kept = {*copies[-MOST_KEPT:], *list(last_of.values())[-DAYS_KEPT:]}
    for old in set(copies) - kept:
        old.unlink()


def main(argv: list[str]) -> None:
    """``backup|check STATE UNIXTIME SCHEDULER`` or ``restore STATE UNIXTIME NAME``.

    The answer is a msgpack map on stdout.
    """
    what, state, now, given = argv
    if what != "restore":  # the next scheduler does not know of it, and changes the file meanwhile
        end_with(int(given))
    stamp = files.stamp(float(now))
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "backup": lambda: back_up(Path(state), stamp, keep=True),
        "check": lambda: back_up(Path(state), stamp, keep=False),
        "restore": lambda: restore(Path(state), sys.stdin.buffer, stamp, given, float(now)),
    }
    try:
        told = work[what]()
    except StoreError as error:
        told = {"error": error.message, "hint": error.hint}
    except OSError as error:
        fault = of_os_error(error, error.filename or state)
        told = {"error": fault.message, "hint": fault.hint}
    sys.stdout.buffer.write(msgpack.packb(told))
