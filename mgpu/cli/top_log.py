"""The last lines of a job's log, for mgpu_top: read as the caller, harmless to a terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mgpu.client.logs import open_regular, path_of
from mgpu.model.units import quoted, visible

if TYPE_CHECKING:
    from mgpu.client.logs import Log

_BLOCK = 1 << 16
_MOST = 200


def last_lines(log: Log | None) -> list[str]:
    """What the job wrote last, or one line that says why that cannot be shown."""
    if log is None:
        return ["(the log is private: it is its owner's)"]
    if log["array"] and not log["tasks"].isdecimal():
        return ["(tasks that wait have no log yet)"]
    if not log["attempt"]:
        return ["(it has not run yet)"]
    path = path_of(log, log["restarts"])
    try:
        return _tail(path) or ["(nothing was written yet)"]
    except OSError as error:
        return [f"(cannot read {quoted(path, 200)}: {error.strerror})"]


def _tail(path: str) -> list[str]:
    descriptor = open_regular(path)
    if descriptor < 0:
        return ["(its output goes to no regular file: nothing is kept)"]
    try:
        begin = max(0, os.fstat(descriptor).st_size - _BLOCK)
        lines = os.pread(descriptor, _BLOCK, begin).split(b"\n")
    finally:
        os.close(descriptor)
    if begin:
        del lines[0]  # the rest of a line
    if lines and not lines[-1]:
        del lines[-1]
    return [_line(line) for line in lines[-_MOST:]]


def _line(data: bytes) -> str:
    """As a terminal would leave it: what follows the last carriage return, and tabs as spaces."""
    text = data.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
    return visible(text.expandtabs())
