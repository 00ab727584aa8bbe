"""SQLite's and the kernel's errors in the store's words."""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

from mgpu.store.base import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreReadOnly

FULL: Final = (
    "no space is left on the disk that holds the state",
    "free some space there; what is stored is kept, and jobs that run go on",
)
CORRUPT_HINT: Final = (
    "the files were left as they are: copy them, then restore a backup or remove them"
)
READ_ONLY_HINT: Final = "mount it writable, and let it belong to the service's user"

# Primary result codes, the low byte of what SQLite reports (sqlite3.h).
_BUSY, _LOCKED, _READONLY, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 5, 6, 8, 11, 13, 14, 26
#: The index of the write-ahead log, which readers share, could not be made larger.
_NO_ROOM_FOR_INDEX = 10 | 19 << 8

_BY_ERRNO: Final = {
    errno.ENOSPC: StoreFull,
    errno.EDQUOT: StoreFull,
    errno.EROFS: StoreReadOnly,
    errno.EACCES: StoreReadOnly,
    errno.EPERM: StoreReadOnly,
}


def as_store_error(error: sqlite3.Error) -> StoreError:
    """What a failure of SQLite means for the store."""
    detailed = getattr(error, "sqlite_errorcode", 0)
    code = detailed & 0xFF
    if code == _FULL or detailed == _NO_ROOM_FOR_INDEX:
        return StoreFull(*FULL)
    if code in (_CORRUPT, _NOTADB):
        return StoreCorrupt(f"the database is damaged: {error}", CORRUPT_HINT)
    if code in (_READONLY, _CANTOPEN):
        return StoreReadOnly(f"the database cannot be written: {error}", READ_ONLY_HINT)
    if code in (_BUSY, _LOCKED):
        return StoreBusy(f"the database is in use: {error}", "end the program that reads it")
    return StoreError(f"the database fails: {error}", "see the kernel's log for a disk that fails")


def of_os_error(error: OSError, path: object) -> StoreError:
    """What a failure of the kernel at ``path`` means for the store."""
    kind = _BY_ERRNO.get(error.errno or 0, StoreError)
    if kind is StoreFull:
        return StoreFull(*FULL)
    hint = READ_ONLY_HINT if kind is StoreReadOnly else ""
    return kind(f"{path}: {error.strerror}", hint)
