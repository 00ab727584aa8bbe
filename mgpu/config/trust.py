"""Whether a file can be believed: nobody but root may have been able to write it."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from mgpu.config.problems import Problem
from mgpu.system.way import way


def read_trusted(path: Path) -> tuple[str, list[Problem]]:
    """The text of ``path`` and what speaks against trusting it. Raises OSError."""
    with open(path, "rb", opener=_open) as file:
        status = os.fstat(file.fileno())
        problems = list(_file_problems(path, status))
        data = file.read() if stat.S_ISREG(status.st_mode) else b""
    problems += way_problems(path)
    try:
        return data.decode(), problems
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return "", [*problems, Problem(str(path), line, "", "this is not UTF-8", "convert it")]


def way_problems(path: Path) -> list[Problem]:
    """What speaks against the folders and links that lead to ``path``, as far as there are any."""
    steps = [Path(step) for step in sorted(set(way(str(path)))) if os.path.lexists(step)]
    return [problem for step in steps for problem in _step_problems(step, _owners())]


def changeable(path: str) -> list[str]:
    """The file and what is on the way to it, but for what root alone can change. Raises OSError."""
    steps = [os.path.realpath(path), *reversed(list(way(path)))]
    return [step for step in dict.fromkeys(steps) if any(_step_problems(Path(step), (0,)))]


def _open(path: str, flags: int) -> int:
    """Open without waiting for somebody to write, where it is no file."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _file_problems(path: Path, status: os.stat_result) -> Iterator[Problem]:
    if not stat.S_ISREG(status.st_mode):
        yield Problem(str(path), 0, "", "this is no regular file")
    yield from _weak(path, status, 0o022, _owners())


def _owners() -> tuple[int, int]:
    """Root, and who asks: their own file changes nothing for others."""
    return 0, os.geteuid()


def _step_problems(step: Path, owners: Collection[int]) -> Iterator[Problem]:
    status = step.lstat()
    # In a sticky folder such as /tmp nobody can replace a file of somebody else.
    sticky = bool(status.st_mode & stat.S_ISVTX)
    free = sticky or stat.S_ISLNK(status.st_mode)
    yield from _weak(step, status, 0 if free else 0o022, owners)


def _weak(
    path: Path, status: os.stat_result, forbidden: int, owners: Collection[int]
) -> Iterator[Problem]:
    if status.st_uid not in owners:
        message = f"it belongs to uid {status.st_uid}, who could change what root does"
        remedy = "chown -h root" if stat.S_ISLNK(status.st_mode) else "chown root"
        yield Problem(str(path), 0, "", message, f"{remedy} {path}")
    if status.st_mode & forbidden:
        message = f"others than root can write it (mode {stat.S_IMODE(status.st_mode):04o})"
        yield Problem(str(path), 0, "", message, f"chmod go-w {path}")
