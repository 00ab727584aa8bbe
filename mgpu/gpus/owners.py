"""To which job a process belongs, as the kernel tells it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

from mgpu.gpus.base import Leaders
from mgpu.model.gpu import Process

_MAX_DEPTH: Final = 100
#: Room for one stat or cgroup file.
_BYTES: Final = 1 << 14
_HERTZ: Final = os.sysconf("SC_CLK_TCK")


#: What the kernel calls the control daemon of NVIDIA's MPS and its servers (comm, proc(5)).
_MPS: Final = b"nvidia-cuda-mps"


class _Stat(NamedTuple):
    """A process now; it is the same one as long as ``ticks`` are."""

    uid: int
    ticks: int
    parent: int
    session: int
    name: bytes


class _Known(NamedTuple):
    """What was found out about a process, and how often the leaders had changed by then."""

    ticks: int
    job: int
    era: int


class Owners:
    """Knows jobs by their control group (``cgroup``), first process and supervisor.

    The supervisor is the parent of whatever a job orphans: who leaves its session and its parent
    has it among its ancestors all the same.

    A process that once belonged to a job does so as long as it lives, whoever its parent is by
    then: only its identity is looked at again.
    """

    def __init__(self, cgroup: str, leaders: Leaders | None = None) -> None:
        self._group = _pattern(cgroup, _read("/proc/self/mountinfo"))
        self._leaders = leaders or {}
        self._era = 0
        self._known: dict[int, _Known] = {}
        self._seen: dict[int, tuple[int, int, int]] = {}
        self._unread: set[int] = set()
        self._blind = False

    @property
    def hidden(self) -> bool:
        """Whether the kernel does not show processes of others, or one of those asked for."""
        return self._blind or bool(self._unread)

    def look(self, leaders: Leaders) -> None:
        """Begin a round. ``leaders`` maps first processes and supervisors to their jobs."""
        self._forget()
        self._unread.clear()
        self._blind = _stat(1) is None
        if leaders != self._leaders:
            self._leaders = leaders
            self._era += 1

    def processes(self, listed: Iterable[tuple[int, int]]) -> list[Process] | None:
        """Those of ``listed`` (pid, MiB); None when there is one of which nothing can be known."""
        found = [self.process(pid, memory) for pid, memory in listed]
        return None if any(process.pid in self._unread for process in found) else found

    def process(self, pid: int, memory: int) -> Process:
        """``pid`` with its user, its job and its birth."""
        uid, job, ticks = self._seen.get(pid) or self._look_at(pid)
        return Process(pid, memory, uid, job, ticks, _born(ticks) if ticks else 0.0)

    def _look_at(self, pid: int) -> tuple[int, int, int]:
        stat = _stat(pid)
        if stat is None:
            found = (-1, self._leaders.get(pid, 0), 0)
            if not found[1] and _exists(pid):
                self._unread.add(pid)
        else:
            job = self._job(pid, stat)
            found = (stat.uid if job else _answerable(stat), job, stat.ticks)
        self._seen[pid] = found
        return found

    def _job(self, pid: int, stat: _Stat) -> int:
        known = self._known.get(pid)
        if (
            known is not None
            and known.ticks == stat.ticks
            and (known.job or known.era == self._era)
        ):
            return known.job
        job = self._find(pid, stat)
        self._known[pid] = _Known(stat.ticks, job, self._era)
        return job

    def _find(self, pid: int, stat: _Stat) -> int:
        found = self._group.search(_read(f"/proc/{pid}/cgroup"))
        if found:
            return int(found[1])
        return next((self._leaders[p] for p in _line_of(pid, stat) if p in self._leaders), 0)

    def _forget(self) -> None:
        """Keep, of those not seen in the last round, only living ones of jobs."""
        for pid in self._known.keys() - self._seen.keys():
            stat = _stat(pid) if self._known[pid].job else None
            if stat is None or stat.ticks != self._known[pid].ticks:
                del self._known[pid]
        self._seen.clear()


def _pattern(cgroup: str, mountinfo: str) -> re.Pattern[str]:
    """Finds the job in a cgroup file: nobody but root can make a group at that place.

    That is a group of version 2, or of the ``devices`` controller where jobs are fenced by it.
    """
    roots = {"0:": "/", r"\d+:devices": "/"}
    for line in reversed(mountinfo.splitlines()):
        left, _, right = line.partition(" - ")
        kind, _, rest = right.partition(" ")
        if kind == "cgroup2":
            roots["0:"] = left.split()[3]
        elif kind == "cgroup" and rest.rpartition(" ")[2].split(",")[-1] == "devices":
            roots[r"\d+:devices"] = left.split()[3]
    places = (f"{kind}:{re.escape(os.path.join(root, cgroup))}" for kind, root in roots.items())
    return re.compile(rf"^(?:{'|'.join(places)})/(\d+)\.\d+(?:/|$)", re.MULTILINE)


def _answerable(stat: _Stat) -> int:
    """The user to whom a process is put down: a server of MPS is its control daemon's.

    It runs as the user of its clients, who changes from time to time.
    """
    if stat.name == _MPS:
        parent = _stat(stat.parent)
        if parent is not None and parent.name == _MPS:
            return parent.uid
    return stat.uid


def _exists(pid: int) -> bool:
    """Whether there is such a process, whatever can be read of it."""
    if not 0 < pid < 1 << 31:
        return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _line_of(pid: int, stat: _Stat) -> Iterator[int]:
    """``pid``, its session's leader, its parent and so on up to the first process."""
    at: _Stat | None = stat
    for _ in range(_MAX_DEPTH):
        if pid <= 1:
            return
        yield pid
        if at is None:
            return
        yield at.session
        pid = at.parent
        at = _stat(pid)


def _stat(pid: int) -> _Stat | None:
    """What /proc says of ``pid``, None when it is gone."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        left, _, right = os.read(fd, _BYTES).rpartition(b")")
        fields, name = right.split(), left.partition(b"(")[2]
        # The folder's owner: files in it are root's where a process may not be dumped.
        uid = os.stat(f"/proc/{pid}").st_uid
        return _Stat(uid, int(fields[19]), int(fields[1]), int(fields[3]), name)
    except (OSError, IndexError, ValueError):
        return None
    finally:
        os.close(fd)


def _born(ticks: int) -> float:
    """The Unix time of a birth."""
    return _boot_time() + ticks / _HERTZ


@cache
def _boot_time() -> int:
    found = re.search(r"^btime (\d+)$", _read("/proc/stat"), re.MULTILINE)
    return int(found[1]) if found else 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
