"""The folders ``STATE/attempts/JOB.ATTEMPT``: how a supervisor is found again, and its last word.

The folder is the fence of an attempt (ADR 0002): whoever makes it first, the supervisor or a
scheduler that gives the attempt up, has decided what becomes of it. The supervisor holds a lock
on ``lock`` as long as it lives, so that liveness needs no pid.
"""

from __future__ import annotations

import fcntl
import os
import socket
from typing import Any

import msgpack

from mgpu.system.log import log

Key = tuple[int, int]

_LARGEST_RECORD = 65536


class AttemptDirs:
    """The attempt folders below ``path``; all of them belong to the service user."""

    def __init__(self, path: str) -> None:
        self._path = path
        os.makedirs(path, mode=0o700, exist_ok=True)

    def keys_found(self) -> list[Key]:
        """The (job, attempt) of each folder; what is none was put there by somebody else."""
        with os.scandir(self._path) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return sorted(key for key in map(_key, names) if key is not None)

    def exists(self, key: Key) -> bool:
        """Whether the attempt has a folder."""
        return os.path.isdir(self._of(key))

    def claim(self, key: Key) -> bool:
        """Give the attempt up by making its folder; False when its supervisor was first."""
        try:
            os.mkdir(self._of(key), 0o700)
        except FileExistsError:
            return False
        return True

    def alive(self, key: Key) -> bool:
        """Whether the attempt's supervisor lives: it holds the lock of its folder."""
        try:
            fd = os.open(f"{self._of(key)}/lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def connect(self, key: Key) -> socket.socket:
        """A connection to the attempt's supervisor. Raises OSError while it does not listen."""
        # Through a descriptor: the path may be longer than a socket's address can be.
        folder = os.open(self._of(key), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _connected(f"/proc/self/fd/{folder}/socket")
        finally:
            os.close(folder)

    def record(self, key: Key) -> dict[str, Any] | None:
        """What the supervisor wrote at the end; None when there is none or it is torn."""
        return self._read(key, "exit")

    def identity(self, key: Key) -> dict[str, Any] | None:
        """What the supervisor wrote at the start (``boot_id`` among it), or None."""
        return self._read(key, "identity")

    def remove(self, key: Key) -> None:
        """Remove the folder with what is in it; its supervisor may be removing it as well."""
        folder = self._of(key)
        try:
            for name in os.listdir(folder):
                os.unlink(f"{folder}/{name}")
            os.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("cannot remove a folder", action="attempt-left", path=folder, error=error)

    def _read(self, key: Key, name: str) -> dict[str, Any] | None:
        try:
            with open(f"{self._of(key)}/{name}", "rb") as file:
                value = msgpack.unpackb(file.read(_LARGEST_RECORD))
        except FileNotFoundError:
            return None
        except (ValueError, msgpack.UnpackException):
            return None
        return value if isinstance(value, dict) else None

    def _of(self, key: Key) -> str:
        return f"{self._path}/{key[0]}.{key[1]}"


def _connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def _key(name: str) -> Key | None:
    job, _, attempt = name.partition(".")
    if job.isdecimal() and attempt.isdecimal():
        return int(job), int(attempt)
    return None
