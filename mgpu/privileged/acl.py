"""Access control lists in the kernel's form (linux/posix_acl.h, acl(5))."""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME, _VERSION = "system.posix_acl_access", 2
_OWNER, _GROUP_OBJ, _GROUP, _MASK, _OTHERS = 0x01, 0x04, 0x08, 0x10, 0x20
_READ_WRITE = 6
_NOBODY = 0xFFFFFFFF


def let_write(path: str, owner: int | None, gids: Sequence[int]) -> None:
    """Let these groups write root's socket besides its own, ``owner`` (None: that may not).

    Raises OSError, for instance where the file system has no such lists.
    """
    own = 0 if owner is None else _READ_WRITE
    rows = [(_OWNER, _READ_WRITE, _NOBODY), (_GROUP_OBJ, own, _NOBODY)]
    rows += [(_GROUP, _READ_WRITE, gid) for gid in sorted(set(gids))]
    rows += [(_MASK, _READ_WRITE, _NOBODY), (_OTHERS, 0, _NOBODY)]
    packed = b"".join(struct.pack("<HHI", *row) for row in rows)
    os.setxattr(path, _NAME, struct.pack("<I", _VERSION) + packed)
