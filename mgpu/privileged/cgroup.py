"""One cgroup (version 2) for each attempt of a job, named after it and never used twice.

The groups say which processes belong to an attempt, kill them all at once, and tell when none is
left: for that they need no controller. Where the kernel gives the controllers for it, they also
keep the attempt's limits. Beside them lies one group for all supervisors.
"""

from __future__ import annotations

import errno
import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_KILL = "cgroup.kill"
_PROCS = "cgroup.procs"
_EVENTS = "cgroup.events"
_MEMORY = "memory.events"
_SUPERVISORS = "supervisors"
_SYSTEMD = "/run/systemd/system"  # exists where systemd is PID 1, sd_booted(3)
#: What limits need, in the order in which they are asked for; each is worth having alone.
CONTROLLERS = ("memory", "cpu", "pids")
_PERIOD = 100_000  # microseconds over which CPU time is counted
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Limits:
    """What an attempt may use: memory in bytes, CPUs, processes and threads; 0 is no limit."""

    __slots__ = ("cpus", "memory", "processes")

    def __init__(self, *, memory: int = 0, cpus: int = 0, processes: int = 0) -> None:
        self.memory = memory
        self.cpus = cpus
        self.processes = processes

    def files(self) -> list[tuple[str, str, str]]:
        """What to write: controller, file, value. Swap is no way around the limit of memory."""
        wanted = []
        if self.memory:
            limit = [("memory.max", str(self.memory)), ("memory.oom.group", "1")]
            wanted += [("memory", *one) for one in [*limit, ("memory.swap.max", "0")]]
        if self.cpus:
            wanted.append(("cpu", "cpu.max", f"{self.cpus * _PERIOD} {_PERIOD}"))
        if self.processes:
            wanted.append(("pids", "pids.max", str(self.processes)))
        return wanted


class Group:
    """The cgroup of one attempt, held open, so that it can be used after the drop."""

    __slots__ = ("_events", "_kill", "_memory", "_procs", "folder")

    def __init__(self, folder: int) -> None:
        self.folder = folder
        self._kill = os.open(_KILL, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
        self._procs = os.open(_PROCS, os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)
        self._events = os.open(_EVENTS, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            self._memory = os.open(_MEMORY, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            self._memory = -1

    def fileno(self) -> int:
        """A descriptor that has POLLPRI when the group has become empty or populated."""
        return self._events

    def enter(self) -> None:
        """Move the calling process into the group."""
        os.write(self._procs, b"0")

    def populated(self) -> bool:
        """Whether a process lives in it; zombies do not."""
        try:
            return b"populated 1" in os.pread(self._events, 256, 0)
        except OSError:  # ENODEV: it has been removed, so it was empty
            return False

    def pids(self) -> set[int]:
        """The processes in it, as seen from this pid namespace."""
        data = b""
        try:
            while chunk := os.pread(self._procs, 65536, len(data)):
                data += chunk
        except OSError:
            return set()
        return {int(line) for line in data.split() if line != b"0"}

    def kill(self) -> None:
        """SIGKILL every process in it, also those being forked right now."""
        try:
            os.write(self._kill, b"1")
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def limit(self, limits: Limits, controllers: Iterable[str]) -> None:
        """Set what ``controllers`` can limit; a file that this kernel does not have is left out."""
        for controller, name, value in limits.files():
            if controller in controllers:
                try:
                    self._write(name, value)
                except FileNotFoundError:
                    continue

    def _write(self, name: str, value: str) -> None:
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.folder)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed something in it for want of memory."""
        if self._memory < 0:
            return False
        words = os.pread(self._memory, 4096, 0).split()
        return int(dict(zip(words[::2], words[1::2], strict=False)).get(b"oom_kill", b"0")) > 0

    def close(self) -> None:
        """Let go of the descriptors; the group stays."""
        for fd in (self.folder, self._kill, self._procs, self._events, self._memory):
            if fd >= 0:
                os.close(fd)


class Groups:
    """The folder that holds the groups of all attempts, and that of their supervisors.

    ``controllers`` are those with which limits can be kept.
    """

    __slots__ = ("controllers", "fd", "path", "supervisors")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, _FOLDER)
        self.controllers = _enabled(path)
        self.supervisors = self.beside(_SUPERVISORS)

    def beside(self, name: str) -> Group:
        """A group that is none of an attempt's, made where it is missing."""
        try:
            os.mkdir(name, 0o755, dir_fd=self.fd)
        except FileExistsError:
            pass
        return self._open(name)

    def fds(self) -> list[int]:
        """The descriptors that a supervisor needs of it."""
        return [self.fd]

    def lock(self) -> int | None:
        """Take the folder for as long as the descriptor is open; None if another daemon has it.

        The lock is on a file that root alone can open: the folder itself, anybody could lock. And
        supervisors keep ``fd``, so they would keep a lock on it.
        """
        fd = os.open(_KILL, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def make(self, name: str, limits: Limits | None = None) -> Group:
        """Create the group ``name``, which must be new."""
        os.mkdir(name, 0o755, dir_fd=self.fd)
        # Whatever the umask: programs look up their limits.
        os.chmod(name, 0o755, dir_fd=self.fd)  # noqa: S103 - holds no secret
        group = self._open(name)
        if limits is not None:
            group.limit(limits, self.controllers)
        return group

    def find(self, name: str) -> Group | None:
        """The group ``name``, or None when there is none. Raises OSError if it cannot be opened."""
        try:
            return self._open(name)
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> bool:
        """Remove the group ``name``; False while something lives in it."""
        try:
            os.rmdir(name, dir_fd=self.fd)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def names(self) -> list[str]:
        """The names of the groups of attempts."""
        with os.scandir(self.fd) as entries:
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return [name for name in folders if name.replace(".", "", 1).isdecimal()]

    def _open(self, name: str) -> Group:
        folder = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=self.fd)
        try:
            return Group(folder)
        except OSError:
            os.close(folder)
            raise


def mount_point(mountinfo: str) -> str | None:
    """Where cgroup v2 is mounted, by /proc/self/mountinfo; also where v1 is beside it."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        if right.split(" ", 1)[0] == "cgroup2":
            return left.split()[4].encode().decode("unicode_escape")
    return None


def open_groups(name: str) -> Groups:
    """The folder for attempts, ``name`` below the v2 root, created where it is missing.

    ``OSError`` (with the reason in it) where no cgroups can be had.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        root = mount_point(file.read())
    if root is None:
        raise OSError("cgroup version 2 is not mounted")
    path = os.path.join(root, name.strip("/"))
    os.makedirs(path, 0o755, exist_ok=True)
    if not os.path.isdir(_SYSTEMD):  # who hands the controllers down where it runs
        for controller in CONTROLLERS:
            _enable(root, controller)
    if not os.path.exists(os.path.join(path, _KILL)):
        raise OSError("this kernel has no cgroup.kill (Linux 5.14)")
    return Groups(path)


def _enabled(folder: str) -> frozenset[str]:
    """The controllers that the groups in ``folder`` have from now on.

    None while a process lives in the folder itself: some could be enabled all the same, and
    nothing could enter the groups then.
    """
    with open(os.path.join(folder, _PROCS), "rb") as file:
        if file.read(1):
            return frozenset()
    return frozenset(name for name in CONTROLLERS if _enable(folder, name))


def _enable(folder: str, controller: str) -> bool:
    """Let the groups in ``folder`` have a controller; the group above must have it for that."""
    try:
        with open(os.path.join(folder, "cgroup.subtree_control"), "w", encoding="ascii") as file:
            file.write(f"+{controller}")
    except OSError:
        return False
    return True
