"""The folder of an attempt, ``STATE/attempts/JOB.ATTEMPT/``: how it is found, and how it ended.

    lock      flocked for the supervisor's life: who gets the lock knows that it is dead
    socket    where a new scheduler reaches the supervisor
    identity  which process on which boot this is
    record    space for the end, taken in advance, so that a full disk does not lose it
    exit      the record once written: complete or absent
    crash     where the supervisor failed, if it did

Creating the folder is the fence: a scheduler that has given an attempt up has made it first.
All of it is done as the service user, who owns the state directory.
"""

from __future__ import annotations

import fcntl
import os
import socket

import msgpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RESERVED = 4096
_FILES = ("lock", "socket", "identity", "record", "exit", "crash")
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Fenced(Exception):
    """The attempt is not wanted any more: somebody else has made its folder."""


class Attempt:
    """The folder of one attempt, held by its supervisor."""

    __slots__ = ("_folder", "_lock", "_name", "_parent", "_record", "_written")

    def __init__(self, parent: int, name: str) -> None:
        """Create the folder ``name`` in the open folder ``parent``; ``Fenced`` if it is there."""
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            raise Fenced from None
        self._parent = parent
        self._name = name
        self._written = False
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._folder = os.open(name, flags, dir_fd=parent)
        self._lock = self._new("lock")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody has already judged it dead
            raise Fenced from None
        self._record = self._new("record")
        os.posix_fallocate(self._record, 0, _RESERVED)

    def _new(self, name: str) -> int:
        return os.open(name, _NEW, 0o600, dir_fd=self._folder)

    def publish(self, identity: dict[str, Any]) -> socket.socket:
        """Listen for schedulers and, last of all, write down which process this is.

        Without that word nothing has been executed, whatever becomes of this process.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        # By a relative name: the path of the state directory may be longer than an address.
        os.fchdir(self._folder)
        listener.bind("socket")
        os.chdir("/")
        listener.listen(4)
        fd = self._new("identity")
        os.write(fd, msgpack.packb(identity))
        os.close(fd)
        return listener

    def write(self, end: dict[str, Any], *, durable: bool) -> None:
        """Record how it ended; with ``durable``, so that a power cut does not lose it either.

        May be called again: to make durable what was written, or after an ``OSError``.
        """
        if not self._written:
            data = msgpack.packb(end)
            os.pwrite(self._record, data, 0)
            os.ftruncate(self._record, len(data))
        if durable:
            os.fsync(self._record)
        if not self._written:
            os.rename("record", "exit", src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._written = True
        if durable:
            os.fsync(self._folder)

    def note(self, text: str) -> None:
        """Leave a word about a fault of the supervisor itself."""
        fd = self._new("crash")
        os.write(fd, text.encode("utf-8", "replace"))
        os.close(fd)

    def remove(self) -> None:
        """Remove the folder: the scheduler has made the end durable itself."""
        for name in _FILES:
            try:
                os.unlink(name, dir_fd=self._folder)
            except FileNotFoundError:
                continue
        try:
            os.rmdir(self._name, dir_fd=self._parent)
        except OSError:
            return  # something foreign is in it; the scheduler sweeps what no job needs
