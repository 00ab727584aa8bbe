"""Scripts: which interpreter runs one, as the kernel would decide, and where it is kept."""

from __future__ import annotations

import os

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
    """Root's part: an empty new file of the user's; root never sees what comes into it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        os.fchown(fd, uid, -1)
    except OSError:
        os.close(fd)
        os.unlink(name, dir_fd=folder)
        raise
    return fd


def fill(fd: int, script: bytes) -> None:
    """The child's part, as the user: write the script."""
    view = memoryview(script)
    while view:
        view = view[os.write(fd, view) :]


def remove(folder: int, name: str) -> None:
    """Remove the script of an attempt, if it had one."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
