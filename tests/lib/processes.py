"""What runs on this machine, read from /proc: a process is (pid, start time), never a pid alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it."""

    pid: int
    ticks: int
    parent: int
    state: str
    uid: int
    command: str

    @property
    def key(self) -> tuple[int, int]:
        """Its identity: another process with the same pid has another start time."""
        return (self.pid, self.ticks)


def read(pid: int) -> Process | None:
    """The process ``pid``, or None when there is none."""
    folder = Path(f"/proc/{pid}")
    try:
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        uid = folder.stat().st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(pid, int(stat[19]), int(stat[1]), stat[0], uid, command.strip())


def alive(pid: int) -> bool:
    """Whether ``pid`` runs; a zombie does not."""
    process = read(pid)
    return process is not None and process.state != "Z"


def running() -> dict[int, Process]:
    """All processes but zombies and kernel threads, by pid."""
    found = (read(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return {p.pid: p for p in found if p is not None and p.state != "Z"}


def of_user(uid: int) -> list[Process]:
    """The processes of ``uid``."""
    return [process for process in running().values() if process.uid == uid]


def strangers(before: frozenset[tuple[int, int]]) -> list[Process]:
    """Processes that came after ``before`` and do not descend from this one: left behind."""
    now = running()

    def ours(process: Process) -> bool:
        seen: Process | None = process
        while seen is not None:
            if seen.pid == os.getpid():
                return True
            seen = now.get(seen.parent)
        return False

    return [process for process in now.values() if process.key not in before and not ours(process)]


def snapshot() -> frozenset[tuple[int, int]]:
    """The identities of all processes of this moment."""
    return frozenset(process.key for process in running().values())


def descendants(pid: int) -> list[int]:
    """The living processes that descend from ``pid``, without itself."""
    family = running()
    found: list[int] = []
    todo = [pid]
    while todo:
        children = [child.pid for child in family.values() if child.parent == todo[-1]]
        todo.pop()
        found += children
        todo += children
    return found
