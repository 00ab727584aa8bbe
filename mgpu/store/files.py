"""The files of the state folder: lock, database, backup, and a reserve against a full disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mgpu.store.base import StoreBusy
from mgpu.store.faults import of_os_error

DATABASE: Final = "mgpu.db"
#: A verified copy that is to take the place of the database, whatever happens meanwhile.
RESTORED: Final = "mgpu.db.restored"
LOCK: Final = "lock"
BALLAST: Final = "ballast"
#: Space that only what already runs may use: thousands of job ends fit.
BALLAST_SIZE: Final = 1 << 20
#: A larger database is not read through at the start, but while the scheduler works.
LARGE: Final = 64 << 20
#: Tells the next start to read it through all the same.
SUSPECTED: Final = "suspected"
#: A missing reserve is made again this many seconds after the last try.
BALLAST_RETRY: Final = 10.0
_LOCK_TRIES: Final = 100
_LOCK_PAUSE: Final = 0.05


class Home:
    """The state folder, held by the lock of this process. Made by :meth:`take`."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self._ballast = folder / BALLAST
        self._reserved = _size(self._ballast) == BALLAST_SIZE
        self._tried = 0.0

    @classmethod
    def take(cls, folder: Path) -> Home:
        """Make the folder where it is missing and lock it, waiting up to five seconds."""
        with _os_errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(lock, folder)
            with _os_errors(folder):
                finish_restore(folder)
        except BaseException:
            os.close(lock)
            raise
        return cls(folder, lock)

    def connect(self) -> sqlite3.Connection:
        """Open the database; a new file can be read by nobody else from its first moment."""
        path = self.folder / DATABASE
        with _os_errors(path):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            path.chmod(0o600)
        old = os.umask(0o077)
        try:
            return sqlite3.connect(path, isolation_level=None, timeout=5, cached_statements=64)
        finally:
            os.umask(old)

    def back_up(self, connection: sqlite3.Connection, version: int, now: float) -> Path:
        """Copy the database beside itself before it is upgraded from ``version``."""
        path = self.folder / f"{DATABASE}.v{version}.{stamp(now)}"
        path.unlink(missing_ok=True)
        old = os.umask(0o077)
        try:
            connection.execute("VACUUM INTO ?", (str(path),))
        finally:
            os.umask(old)
        return path

    @property
    def is_large(self) -> bool:
        """Whether reading the whole database takes a while."""
        return _size(self.folder / DATABASE) > LARGE

    @property
    def suspected(self) -> bool:
        """Whether an earlier scheduler found the database damaged."""
        return (self.folder / SUSPECTED).exists()

    def suspect(self) -> None:
        """The database was found damaged: the next start is to look itself."""
        with _os_errors(self.folder):
            (self.folder / SUSPECTED).touch(mode=0o600)

    def clear(self) -> None:
        """The database was found sound."""
        with _os_errors(self.folder):
            (self.folder / SUSPECTED).unlink(missing_ok=True)

    def reserve(self) -> bool:
        """Whether the reserve is there; made again if it was used and the disk has space."""
        if not self._reserved:
            self._reserved = _allocate(self._ballast)
        return self._reserved

    def reserve_later(self, now: float) -> None:
        """Make a missing reserve again, but do not try at every commit."""
        if not self._reserved and abs(now - self._tried) >= BALLAST_RETRY:
            self._tried = now
            self.reserve()

    def release(self) -> bool:
        """Give the reserve up for a batch that must be stored. False if it is gone already."""
        had, self._reserved = self._reserved, False
        with contextlib.suppress(OSError):
            self._ballast.unlink()
        return had

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._lock)


def finish_restore(folder: Path) -> None:
    """Let a copy that is to be restored take the place of the database, and of its log."""
    if (folder / RESTORED).exists():
        (folder / f"{DATABASE}-wal").unlink(missing_ok=True)
        sync(folder)
        (folder / RESTORED).rename(folder / DATABASE)
        sync(folder)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def copy_aside(folder: Path | str, now: float) -> list[Path]:
    """Copy a database that cannot be read to dated names, for a person to look at."""
    copies = []
    for name in (DATABASE, f"{DATABASE}-wal"):
        source = Path(folder) / name
        if source.exists():
            target = source.with_name(f"{DATABASE}.damaged.{stamp(now)}{name[len(DATABASE) :]}")
            with _os_errors(target):
                shutil.copyfile(source, target)
                target.chmod(0o600)
            copies.append(target)
    return copies


def stamp(now: float) -> str:
    """A date for a file's name, in UTC."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def leak(connection: sqlite3.Connection) -> None:
    """Never close it: closing would write the log into a file that is to stay as it is."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _lock(lock: int, folder: Path) -> None:
    # Not flock: a forked worker that hangs would hold that on after the scheduler's death.
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(_LOCK_PAUSE)  # noqa: TID251 - a lock cannot be waited for with a deadline
    raise StoreBusy(
        f"{folder}: another scheduler uses this state",
        "stop it, or give this one another folder with [paths] state_dir",
    )


def _allocate(path: Path) -> bool:
    made = path.with_name(f"{BALLAST}.new")
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, BALLAST_SIZE)
        finally:
            os.close(descriptor)
        made.rename(path)
        return True
    except OSError:
        with contextlib.suppress(OSError):
            made.unlink()
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


@contextlib.contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise of_os_error(error, path) from error
