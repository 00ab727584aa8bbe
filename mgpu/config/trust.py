"""Whether a file can be believed: nobody but root may have been able to write it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mgpu.config.problems import Problem


def read_trusted(path: Path) -> tuple[str, list[Problem]]:
    """The text of ``path`` and what speaks against trusting it. Raises OSError."""
    with path.open("rb") as file:
        problems = list(_file_problems(path, os.fstat(file.fileno())))
        data = file.read()
    problems += [problem for folder in _folders(path) for problem in _folder_problems(folder)]
    try:
        return data.decode(), problems
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return "", [*problems, Problem(str(path), line, "", "this is not UTF-8", "convert it")]


def _file_problems(path: Path, status: os.stat_result) -> Iterator[Problem]:
    if not stat.S_ISREG(status.st_mode):
        yield Problem(str(path), 0, "", "this is no regular file")
    yield from _weak(path, status, 0o022)


def _folder_problems(folder: Path) -> Iterator[Problem]:
    status = folder.stat()
    # In a sticky folder such as /tmp nobody can replace a file of somebody else.
    sticky = bool(status.st_mode & stat.S_ISVTX)
    yield from _weak(folder, status, 0 if sticky else 0o022)


def _folders(path: Path) -> list[Path]:
    """Every folder on the way to the file, and to what it links to."""
    ways = (Path(os.path.abspath(path)), path.resolve())
    return sorted({folder for way in ways for folder in way.parents})


def _weak(path: Path, status: os.stat_result, forbidden: int) -> Iterator[Problem]:
    if status.st_uid not in (0, os.geteuid()):
        message = f"it belongs to uid {status.st_uid}, who could change what root does"
        yield Problem(str(path), 0, "", message, f"chown root {path}")
    if status.st_mode & forbidden:
        message = f"others than root can write it (mode {stat.S_IMODE(status.st_mode):04o})"
        yield Problem(str(path), 0, "", message, f"chmod go-w {path}")
