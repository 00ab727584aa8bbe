"""To which job a process belongs, as the kernel tells it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from mgpu.gpus.base import Leaders
from mgpu.model.gpu import Process

_MAX_DEPTH = 100


class Owners:
    """Knows jobs by their control group (below ``cgroup``) and by their first process."""

    def __init__(self, cgroup: str, leaders: Leaders) -> None:
        self._group = re.compile(rf"/{re.escape(cgroup)}/(\d+)\.\d+(?:/|$)", re.MULTILINE)
        self._leaders = leaders

    def process(self, pid: int, memory: int) -> Process:
        """``pid`` with its uid and its job."""
        try:
            uid = os.stat(f"/proc/{pid}").st_uid
        except OSError:
            return Process(pid, memory, -1, self._leaders.get(pid, 0))
        return Process(pid, memory, uid, self._job(pid))

    def _job(self, pid: int) -> int:
        found = self._group.search(_read(pid, "cgroup"))
        if found:
            return int(found[1])
        return next((self._leaders[p] for p in _line_of(pid) if p in self._leaders), 0)


def _line_of(pid: int) -> Iterator[int]:
    """``pid``, its session's leader, its parent and so on up to the first process."""
    for _ in range(_MAX_DEPTH):
        if pid <= 1:
            return
        fields = _read(pid, "stat").rpartition(")")[2].split()
        yield pid
        if len(fields) < 4:
            return
        yield int(fields[3])
        pid = int(fields[1])


def _read(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
