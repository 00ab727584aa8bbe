"""Whether a file can be believed: nobody but root may have been able to write it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mgpu.config.problems import Problem

#: Names that the way to a file may have, those of the links on it included.
_MOST_STEPS: Final = 1000


def read_trusted(path: Path) -> tuple[str, list[Problem]]:
    """The text of ``path`` and what speaks against trusting it. Raises OSError."""
    with path.open("rb") as file:
        problems = list(_file_problems(path, os.fstat(file.fileno())))
        data = file.read()
    for step in sorted(set(_way(path))):
        problems += _step_problems(Path(step))
    try:
        return data.decode(), problems
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return "", [*problems, Problem(str(path), line, "", "this is not UTF-8", "convert it")]


def _file_problems(path: Path, status: os.stat_result) -> Iterator[Problem]:
    if not stat.S_ISREG(status.st_mode):
        yield Problem(str(path), 0, "", "this is no regular file")
    yield from _weak(path, status, 0o022)


def _step_problems(step: Path) -> Iterator[Problem]:
    status = step.lstat()
    # In a sticky folder such as /tmp nobody can replace a file of somebody else.
    sticky = bool(status.st_mode & stat.S_ISVTX)
    free = sticky or stat.S_ISLNK(status.st_mode)
    yield from _weak(step, status, 0 if free else 0o022)


def _way(path: Path) -> Iterator[str]:
    """Each folder and each link on the way to the file. Raises OSError where it has no end."""
    at, names = "/", os.path.abspath(path).split("/")[::-1]
    for _ in range(_MOST_STEPS):
        if not names:
            return
        name = names.pop()
        if name in ("", ".", ".."):
            at = os.path.dirname(at) if name == ".." else at
            continue
        yield at
        step = os.path.join(at, name)
        if not os.path.islink(step):
            at = step
            continue
        yield step
        target = os.readlink(step)
        names += target.split("/")[::-1]
        at = "/" if target.startswith("/") else at
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _weak(path: Path, status: os.stat_result, forbidden: int) -> Iterator[Problem]:
    if status.st_uid not in (0, os.geteuid()):
        message = f"it belongs to uid {status.st_uid}, who could change what root does"
        yield Problem(str(path), 0, "", message, f"chown root {path}")
    if status.st_mode & forbidden:
        message = f"others than root can write it (mode {stat.S_IMODE(status.st_mode):04o})"
        yield Problem(str(path), 0, "", message, f"chmod go-w {path}")
