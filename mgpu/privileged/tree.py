"""Everything that descends from a job: to be signalled, killed, and waited for until it is empty.

``CgroupTree`` where the attempt has a cgroup, else ``ProcessTree``, which rests on the subreaper
flag of the supervisor: whatever the job orphans becomes the supervisor's child. Zombies count as
dead. A signal goes through a pidfd whose process was seen to belong to the tree *after* it was
opened, so a stranger that got the pid of a dead member is never hit.
"""

from __future__ import annotations

import os
import signal

from mgpu.privileged.cgroup import Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MAX_ROUNDS = 50
#: Fields of /proc/PID/stat after the command's ``)``: state, parent, start time.
_STATE, _PARENT, _TICKS = 0, 1, 19


class CgroupTree:
    """The tree is what lives in one cgroup."""

    __slots__ = ("_group",)

    def __init__(self, group: Group) -> None:
        self._group = group

    def fileno(self) -> int:
        """A descriptor with POLLPRI when the tree becomes empty, or -1."""
        return self._group.fileno()

    def empty(self) -> bool:
        """Whether nothing of it lives."""
        return not self._group.populated()

    def look(self) -> None:
        """Take note of a change, which ends the event."""
        self._group.populated()

    def members(self) -> set[int]:
        """The living processes of the tree."""
        return self._group.pids()

    def kill(self) -> None:
        """SIGKILL all of it."""
        self._group.kill()


class ProcessTree:
    """The tree is what descends from the process ``root`` (itself not included)."""

    __slots__ = ("_root",)

    def __init__(self, root: int) -> None:
        self._root = root

    def fileno(self) -> int:
        """A descriptor with POLLPRI when the tree becomes empty, or -1."""
        return -1

    def empty(self) -> bool:
        """Whether nothing of it lives."""
        return not self.members()

    def look(self) -> None:
        """Nothing to note: the end of a child is a signal."""

    def members(self) -> set[int]:
        """The living processes of the tree."""
        return descendants(self._root, parents())

    def kill(self) -> None:
        """SIGKILL all of it: first stop everything, so that nothing forks meanwhile."""
        stopped: set[int] = set()
        for _ in range(_MAX_ROUNDS):
            fresh = self.members() - stopped
            if not fresh:
                break
            send(signal.SIGSTOP, fresh, self.members)
            stopped |= fresh
        send(signal.SIGKILL, self.members(), self.members)


Tree = CgroupTree | ProcessTree


def terminate(tree: Tree) -> None:
    """SIGTERM every member, and SIGCONT so that stopped ones can follow it."""
    send(signal.SIGTERM, tree.members(), tree.members)
    send(signal.SIGCONT, tree.members(), tree.members)


def warn(tree: Tree, signum: int) -> None:
    """Send ``signum`` to the members that catch or block it: a warning kills nobody."""
    send(signum, {pid for pid in tree.members() if handles(pid, signum)}, tree.members)


def send(signum: int, pids: Iterable[int], members: Callable[[], set[int]]) -> None:
    """Send a signal to those of ``pids`` that are members still when their pidfds are open."""
    fds: dict[int, int] = {}
    try:
        for pid in pids:
            fd = _pidfd(pid)
            if fd >= 0:
                fds[pid] = fd
        for pid in members() & set(fds):
            _send(fds[pid], signum)
    finally:
        for fd in fds.values():
            os.close(fd)


def handles(pid: int, signum: int) -> bool:
    """Whether the process catches or blocks ``signum``, by /proc/PID/status."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    bits = 0
    for line in lines:
        if line.startswith((b"SigCgt:", b"SigBlk:")):
            bits |= int(line.split()[1], 16)
    return bool(bits >> (signum - 1) & 1)


def parents() -> dict[int, int]:
    """The parent of each living process; zombies are left out."""
    found = {}
    for entry in os.listdir("/proc"):
        fields = _stat(entry) if entry.isdigit() else None
        if fields and fields[_STATE] != b"Z":
            found[int(entry)] = int(fields[_PARENT])
    return found


def descendants(root: int, parent_of: dict[int, int]) -> set[int]:
    """Those processes of ``parent_of`` that descend from ``root``."""
    children: dict[int, list[int]] = {}
    for pid, parent in parent_of.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), ()):
            if pid not in found:
                found.add(pid)
                todo.append(pid)
    return found


def ticks(pid: int) -> int:
    """When the process began, in clock ticks since the boot; 0 when it is gone."""
    fields = _stat(str(pid))
    return int(fields[_TICKS]) if fields else 0


def _stat(pid: str) -> list[bytes] | None:
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, 4096).rpartition(b")")[2].split()
    except OSError:
        return None
    finally:
        os.close(fd)


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def _send(fd: int, signum: int) -> None:
    try:
        signal.pidfd_send_signal(fd, signum)
    except OSError:
        return  # it has just ended
