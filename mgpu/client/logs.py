"""Where a job's output is: the same names as the job's own process gives its files."""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections.abc import Mapping
from typing import Any

_FOLDER = ".local/state/mgpu/logs"
_MOST_DIGITS = 20
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

#: What the scheduler tells of a job's logs, by name.
Log = Mapping[str, Any]


def path_of(log: Log, restarts: int, *, error: bool = False) -> str:
    """The file of the run after so many ``restarts``; with ``error`` that of standard error."""
    pattern = (log["error"] if error else "") or log["output"]
    if pattern:
        return os.path.join(log["cwd"], expand(pattern, _values(log, restarts)))
    return os.path.join(_home(log["user"]), _FOLDER, _default(log))


def is_per_run(log: Log, *, error: bool = False) -> bool:
    """Whether each run has a file of its own."""
    return path_of(log, 0, error=error) != path_of(log, 1, error=error)


def open_regular(path: str) -> int:
    """A descriptor to read the file at ``path`` by; -1 when that is no regular file.

    Anything else is not opened at all: to open a device does something to it, and the owner of
    the job chose where ``path`` leads.
    """
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return -1
        return os.open(f"/proc/self/fd/{found}", _FLAGS)
    finally:
        os.close(found)


def expand(pattern: str, values: Mapping[str, int | str]) -> str:
    """``pattern`` with ``%x`` replaced; ``%4j`` pads a number, ``%%`` is a percent sign."""
    return re.sub(r"(?s)%([0-9]*)([^0-9])", lambda match: _one(match, values), pattern)


def _one(match: re.Match[str], values: Mapping[str, int | str]) -> str:
    digits, letter = match.groups()
    if letter == "%":
        return match[0] if digits else "%"
    value = values.get(letter)
    if value is None:
        return match[0]
    if isinstance(value, int):
        return f"{value:0{min(int(digits or '0'), _MOST_DIGITS)}d}"
    return _clean(value)


def _clean(value: str) -> str:
    """``value`` as a part of a file's name."""
    kept = re.sub(r"[\x00-\x1f/\x7f]", "_", value)
    return kept.replace(".", "_") if not kept.strip(".") else kept


def _values(log: Log, restarts: int) -> dict[str, int | str]:
    return {
        "j": log["id"],
        "A": log["array"] or log["id"],
        "a": int(log["tasks"]) if log["array"] else 0,
        "r": restarts,
        "x": log["name"],
        "u": log["user"],
        "N": os.uname().nodename.partition(".")[0],
    }


def _default(log: Log) -> str:
    return f"{log['array']}_{log['tasks']}.log" if log["array"] else f"{log['id']}.log"


def _home(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return f"~{user}"
