"""What a process of mgpu is executed with: its command line, its environment, files in memory."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


def environment() -> dict[str, str]:
    """Constants, and what tells the process that its standard error is the journal."""
    journal = os.environ.get("JOURNAL_STREAM")
    return _ENVIRONMENT if journal is None else {**_ENVIRONMENT, "JOURNAL_STREAM": journal}


def command(module: str, call: str) -> list[str]:
    """The interpreter and a program that does ``call`` with the ``main`` of ``module``.

    It finds its modules where this process does.
    """
    program = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; {call}"
    return [sys.executable, "-I", "-S", "-c", program]


def needed() -> list[str]:
    """The interpreter and the folders that a program is loaded from, links followed."""
    found = [sys.executable, *filter(os.path.isdir, sys.path)]
    return [os.path.realpath(path) for path in found]


def unreachable(paths: Iterable[str]) -> str:
    """The first of these that this process may not pass or execute, or nothing."""
    return next((path for path in paths if not os.access(path, os.X_OK)), "")


def in_memory(name: str, data: bytes = b"") -> int:
    """A file in memory that holds ``data``, read from its start."""
    fd = os.memfd_create(f"mgpu-{name}", os.MFD_CLOEXEC)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
