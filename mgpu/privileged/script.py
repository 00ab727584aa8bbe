"""Scripts: which interpreter runs one, as the kernel would decide, and where it is kept."""

from __future__ import annotations

import errno
import os
import struct

_MAX_LINE = 255
_SHELL = b"/bin/sh"

#: The tags of an access control list in the kernel's form (linux/posix_acl.h), and no uid or gid.
_ACL, _ACL_VERSION = "system.posix_acl_access", 2
_OWNER, _USER, _GROUP, _MASK, _OTHERS = 1, 2, 4, 16, 32
_NOBODY = 2**32 - 1
_READ, _WRITE = 4, 2


def interpreter(script: bytes) -> list[bytes]:
    """The program of the ``#!`` line and its one argument, if any; the shell without such a line.

    The line is read here, since the file may lie on a file system mounted ``noexec``.
    """
    if not script.startswith(b"#!"):
        return [_SHELL]
    line = script[2 : _MAX_LINE + 2].partition(b"\n")[0].strip(b" \t\r")
    parts = line.split(None, 1)
    return [part for part in parts if part] or [_SHELL]


def create(folder: int, name: str, uid: int) -> int:
    """Root's part: an empty new file for the user to read; root never sees what comes into it.

    It is filled through the descriptor, and no other can be had for writing: else a job could
    change what it runs, or use the file as room that nobody accounts for.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        _let_read(fd, uid)
    except OSError:
        os.close(fd)
        os.unlink(name, dir_fd=folder)
        raise
    return fd


def _let_read(fd: int, uid: int) -> None:
    """Let ``uid`` read root's file, and nobody else, whatever groups they share: acl(5)."""
    rows = (
        *((_OWNER, _READ | _WRITE, _NOBODY), (_USER, _READ, uid)),
        *((_GROUP, 0, _NOBODY), (_MASK, _READ, _NOBODY), (_OTHERS, 0, _NOBODY)),
    )
    acl = struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *row) for row in rows)
    try:
        os.setxattr(fd, _ACL, acl)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        problem = "paths.runtime_dir is on a file system without access control lists: use a tmpfs"
        raise OSError(errno.ENOTSUP, problem) from error


def fill(fd: int, script: bytes) -> None:
    """The child's part, as the user: write the script, by a descriptor that ends with the exec."""
    view = memoryview(script)
    while view:
        view = view[os.write(fd, view) :]


def remove(folder: int, name: str) -> None:
    """Remove the script of an attempt, if it had one."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
