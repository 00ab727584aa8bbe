"""Access control lists in the kernel's form (linux/posix_acl.h, acl(5))."""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME, _VERSION = "system.posix_acl_access", 2
_OWNER, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_READ, _READ_WRITE = 4, 6
_NOBODY = 0xFFFFFFFF


def let_write(path: str, owner: int | None, gids: Sequence[int]) -> None:
    """Let these groups write root's socket besides its own, ``owner`` (None: that may not).

    Raises OSError, for instance where the file system has no such lists.
    """
    own = 0 if owner is None else _READ_WRITE
    rows = [(_OWNER, _READ_WRITE, _NOBODY), (_GROUP_OBJ, own, _NOBODY)]
    rows += [(_GROUP, _READ_WRITE, gid) for gid in sorted(set(gids))]
    rows += [(_MASK, _READ_WRITE, _NOBODY), (_OTHERS, 0, _NOBODY)]
    _set(path, rows)


def let_read(fd: int, uid: int) -> None:
    """Let ``uid`` read root's file, and nobody else, whatever groups they share. Raises OSError."""
    rows = [(_OWNER, _READ_WRITE, _NOBODY), (_USER, _READ, uid), (_GROUP_OBJ, 0, _NOBODY)]
    _set(fd, [*rows, (_MASK, _READ, _NOBODY), (_OTHERS, 0, _NOBODY)])


def _set(file: int | str, rows: Sequence[tuple[int, int, int]]) -> None:
    packed = b"".join(struct.pack("<HHI", *row) for row in rows)
    os.setxattr(file, _NAME, struct.pack("<I", _VERSION) + packed)
