"""Everything that descends from a job: to be signalled, killed, and waited for until it is empty.

``CgroupTree`` where the attempt has a cgroup, else ``ProcessTree``, which rests on the subreaper
flag: whatever the job orphans becomes a child of the supervisor, or of the launcher when that is
dead. Zombies have no descendants and cannot be killed: they count until they have been waited for,
and no longer, and not at all where a tracer is the one who has to wait. A signal goes through a
pidfd whose process was seen to belong to the tree *after* it was opened, so a stranger that got the
pid of a dead member is never hit; a child of the caller needs none, since it keeps its pid until
the caller waits for it.
"""

from __future__ import annotations

import os
import signal

from mgpu.privileged import clock
from mgpu.privileged.cgroup import Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: How long one ``kill`` may take, and how long of it goes to new children in one go.
_KILL_SECONDS = 0.25
_CHASE_SECONDS = 0.02
#: Children that are waited for in one go.
MOST_REAPED = 1000
#: Fields of /proc/PID/stat after the command's ``)``: state, parent, threads, start time.
_STATE, _PARENT, _THREADS, _TICKS = 0, 1, 17, 19


class CgroupTree:
    """The tree is what lives in one cgroup, or has been moved out of it and descends from us.

    systemd moves any process into a scope of its user's, when that user asks it to.
    """

    __slots__ = ("_family", "_group")

    def __init__(self, group: Group) -> None:
        self._group = group
        self._family = ProcessTree()

    def fileno(self) -> int:
        """A descriptor with POLLPRI when the tree becomes empty, or -1."""
        return self._group.fileno()

    def empty(self) -> bool:
        """Whether nothing of it lives."""
        return not self._group.populated() and self._family.empty()

    def look(self) -> None:
        """Take note of a change, which ends the event."""
        self._group.populated()

    def members(self) -> set[int]:
        """The living processes of the tree."""
        return self._group.pids() | (self._family.members() if self._escaped() else set())

    def kill(self) -> None:
        """SIGKILL all of it."""
        self._group.kill()
        if self._escaped():
            self._family.kill()

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed something of it for want of memory."""
        return self._group.out_of_memory()

    def _escaped(self) -> bool:
        """Whether a child lives outside of the group."""
        found = {pid: _stat(str(pid)) for pid in children()}
        living = {pid for pid, fields in found.items() if fields is None or _lives(fields)}
        return bool(living and living - self._group.pids())


class ProcessTree:
    """The tree is what descends from this process, a subreaper, but for its ``spared`` children."""

    __slots__ = ("_spared",)

    def __init__(self, spared: Callable[[], set[int]] | None = None) -> None:
        self._spared = spared or set[int]

    def fileno(self) -> int:
        """A descriptor with POLLPRI when the tree becomes empty, or -1."""
        return -1

    def empty(self) -> bool:
        """Whether nothing of it lives or waits to be waited for by us.

        A walk through /proc misses what forks and exits all the time. But whatever lives has an
        ancestor that is a child of this process, and children are never missed: if all of them
        were dead, and there are no others since, nothing was left that could have forked one.
        """
        spared = self._spared()
        if not spared and _childless():
            return True
        found = children() - spared
        return all(map(withheld, found)) and children() - spared == found

    def look(self) -> None:
        """Nothing to note: the end of a child is a signal."""

    def members(self) -> set[int]:
        """The living processes of the tree; only the children where /proc hides them all."""
        spared = self._spared()
        family = {pid: parent for pid, parent in parents().items() if pid not in spared}
        return descendants(os.getpid(), family) or _hidden(children() - spared)

    def kill(self) -> None:
        """SIGKILL all of it that can be found; again at the end of each child until it is empty.

        First everything is stopped, so that nothing forks meanwhile.
        """
        end = clock.boot() + _KILL_SECONDS
        stopped: set[int] = set()
        while clock.boot() < end:
            self._chase(signal.SIGSTOP)
            fresh = self.members() - stopped
            if not fresh:
                break
            send(signal.SIGSTOP, fresh, self.members)
            stopped |= fresh
        send(signal.SIGKILL, self.members(), self.members)
        self._chase(signal.SIGKILL)

    def out_of_memory(self) -> bool:
        """Not known here."""
        return False

    def _chase(self, signum: int) -> None:
        """Signal the children, and those that come meanwhile: much faster than a walk."""
        end = clock.boot() + _CHASE_SECONDS
        struck = self._spared()
        while (fresh := children() - struck) and clock.boot() < end:
            for pid in sorted(fresh, reverse=True):  # the newest are the likeliest to live
                _strike(pid, signum)
            struck |= fresh


Tree = CgroupTree | ProcessTree


def terminate(tree: Tree, *, hang_up: bool = False) -> None:
    """SIGTERM every member, and SIGCONT so that stopped ones can follow it.

    ``hang_up``: SIGHUP to those that ignore SIGTERM, as an interactive shell does.
    """
    deaf = {pid for pid in tree.members() if hang_up and ignores(pid, signal.SIGTERM)}
    send(signal.SIGTERM, tree.members(), tree.members)
    send(signal.SIGHUP, deaf, tree.members)
    send(signal.SIGCONT, tree.members(), tree.members)


def warn(tree: Tree, signum: int) -> None:
    """Send ``signum`` to the members that catch or block it: a warning kills nobody."""
    send(signum, {pid for pid in tree.members() if handles(pid, signum)}, tree.members)


def pass_on(tree: Tree, signum: object, leader: int = 0) -> None:
    """Send what somebody asked for to all members, or to the ``leader`` alone."""
    if type(signum) is int and 1 <= signum < signal.NSIG:
        send(signum, {leader} if leader else tree.members(), tree.members)


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
    """Whether the process catches or blocks ``signum``."""
    return _has(pid, signum, (b"SigCgt:", b"SigBlk:"))


def ignores(pid: int, signum: int) -> bool:
    """Whether the process ignores ``signum``."""
    return _has(pid, signum, (b"SigIgn:",))


def _has(pid: int, signum: int, masks: tuple[bytes, ...]) -> bool:
    """Whether ``signum`` is in one of these ``masks`` of /proc/PID/status."""
    bits = 0
    for line in _status(str(pid)).splitlines():
        if line.startswith(masks):
            bits |= int(line.split()[1], 16)
    return bool(bits >> (signum - 1) & 1)


def withheld(pid: int) -> bool:
    """Whether the child is dead and we are not told: who traces it has to wait for it first.

    A tracer outside of the job may never do so.
    """
    threads = [_status(f"{pid}/task/{thread}") for thread in _threads(pid)]
    dead = all(b"\nState:\tZ" in status or b"\nState:\tX" in status for status in threads)
    return dead and any(b"\nTracerPid:\t0\n" not in status for status in threads)


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _status(place: str) -> bytes:
    """What /proc/PLACE/status says; nothing where it is gone or hidden."""
    try:
        with open(f"/proc/{place}/status", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _childless() -> bool:
    """Whether this process has no child, living or dead: the kernel's own word."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def children() -> set[int]:
    """The children of this process until it has waited for them.

    They are its first thread's: a second one, which writes a log, forks nothing and adopts nothing.
    None is missed: while it reads, others are added at the end, and only it can take one away.
    """
    try:
        with open("/proc/thread-self/children", "rb") as file:
            return {int(pid) for pid in file.read().split()}
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        me = os.getpid()
        return {pid for pid, parent in parents(zombies=True).items() if parent == me}


def reap() -> dict[int, int]:
    """Wait for the children that have ended: the status of each.

    After ``MOST_REAPED`` there may be more: if they ended faster than this can wait for them, it
    would never return.
    """
    ended: dict[int, int] = {}
    while len(ended) < MOST_REAPED:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        ended[pid] = status
    return ended


def parents(*, zombies: bool = False) -> dict[int, int]:
    """The parent of each living process, or also of each that nobody has waited for yet."""
    found = {}
    for entry in os.listdir("/proc"):
        fields = _stat(entry) if entry.isdigit() else None
        if fields and (zombies or _lives(fields)):
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


def _lives(fields: list[bytes]) -> bool:
    """Whether a process is no zombie, by its ``_stat``.

    One whose first thread has ended looks like one, but lives if it has others.
    """
    return fields[_STATE] not in (b"Z", b"X") or int(fields[_THREADS]) > 1


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


def _hidden(pids: Iterable[int]) -> set[int]:
    """Those of the children ``pids`` of which /proc tells nothing."""
    return {pid for pid in pids if _stat(str(pid)) is None}


def _strike(pid: int, signum: int) -> None:
    """Signal a child of this process and its process group.

    A fork does not succeed while a signal to the group is on its way, so nothing gets out of it
    by forking. Such a group holds nothing but the job: nobody enters a session from outside.
    """
    try:
        os.kill(pid, signum)
        group = os.getpgid(pid)
        if group > 1 and group != os.getpgrp():
            os.killpg(group, signum)
    except OSError:
        return


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
