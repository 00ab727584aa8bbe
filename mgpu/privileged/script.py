"""Scripts: which interpreter runs one, as the kernel would decide, and where it is kept."""

from __future__ import annotations

import errno
import os

from mgpu.privileged import acl

_MAX_LINE = 255
_SHELL = b"/bin/sh"


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
    try:
        acl.let_read(fd, uid)
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
