"""One cgroup (version 2) for each attempt of a job, named after it and never used twice.

The groups need no controller: they only say which processes belong to an attempt, kill them all
at once, and tell when none is left.
"""

from __future__ import annotations

import errno
import fcntl
import os

_KILL = "cgroup.kill"
_PROCS = "cgroup.procs"
_EVENTS = "cgroup.events"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Group:
    """The cgroup of one attempt, held open, so that it can be used after the drop."""

    __slots__ = ("_events", "_kill", "_procs", "folder")

    def __init__(self, folder: int) -> None:
        self.folder = folder
        self._kill = os.open(_KILL, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
        self._procs = os.open(_PROCS, os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)
        self._events = os.open(_EVENTS, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)

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

    def close(self) -> None:
        """Let go of the descriptors; the group stays."""
        for fd in (self.folder, self._kill, self._procs, self._events):
            os.close(fd)


class Groups:
    """The folder that holds the groups of all attempts."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, _FOLDER)

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

    def make(self, name: str) -> Group:
        """Create the group ``name``, which must be new."""
        os.mkdir(name, 0o755, dir_fd=self.fd)
        return self._open(name)

    def find(self, name: str) -> Group | None:
        """The group ``name``, or None when there is none."""
        try:
            return self._open(name)
        except OSError:
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
        """The names of all groups."""
        with os.scandir(self.fd) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

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
    if not os.path.exists(os.path.join(path, _KILL)):
        raise OSError("this kernel has no cgroup.kill (Linux 5.14)")
    return Groups(path)
