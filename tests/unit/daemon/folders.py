"""The folder of an attempt as its supervisor keeps it, with a lock that is really held."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgpack

from tests.unit.daemon.outside import Key, Map, received


class Folder:
    """``STATE/attempts/JOB.ATTEMPT``; ``live()`` holds the lock and listens, ``die()`` lets go."""

    def __init__(self, state: Path, key: Key, *, boot_id: str | None = "boot-1") -> None:
        self.key = key
        self.path = state / "attempts" / f"{key[0]}.{key[1]}"
        self.path.mkdir(parents=True)
        self._lock: int | None = None
        self._listener: socket.socket | None = None
        self.sock: socket.socket | None = None
        if boot_id is not None:
            self.write("identity", {"job": key[0], "attempt": key[1], "boot_id": boot_id})

    def write(self, name: str, value: Mapping[str, object]) -> None:
        """Put a map into one of the files."""
        (self.path / name).write_bytes(msgpack.packb(value))

    def lock(self) -> Folder:
        """Hold the lock, as a supervisor that has only begun."""
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def listen(self) -> Folder:
        """Wait for a scheduler."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        folder = os.open(self.path, os.O_PATH)
        self._listener.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        self._listener.listen(4)
        self._listener.setblocking(False)
        return self

    def live(self) -> Folder:
        """Be found."""
        return self.lock().listen()

    def accept(self) -> socket.socket:
        """The scheduler that has connected."""
        assert self._listener is not None
        self.sock, _ = self._listener.accept()
        return self.sock

    def hears(self) -> list[Map]:
        """What the scheduler said."""
        return received(self.sock or self.accept())

    def die(self) -> None:
        """Let go of everything, as a dead process does; the files stay."""
        for end in (self.sock, self._listener):
            if end is not None:
                end.close()
        if self._lock is not None:
            os.close(self._lock)
        self.sock = self._listener = self._lock = None

    @property
    def exists(self) -> bool:
        """Whether the folder is still there."""
        return self.path.exists()
