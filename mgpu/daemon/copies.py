"""Copies of the database while it is in use: a process makes and verifies them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgpack

from mgpu.daemon.loop import Loop
from mgpu.model.errors import MgpuError
from mgpu.model.time import Now
from mgpu.store.base import Store, StoreError
from mgpu.system.log import log
from mgpu.system.process import command

Told = Callable[[dict[str, Any] | MgpuError, Now], None]

#: Seconds that a copy may take: what is written meanwhile stays in the log of the database.
LONGEST: Final = 1800.0
_LARGEST: Final = 1 << 16


class Copies:
    """At most one copy at a time. While it is made the database file stays as it is."""

    def __init__(self, state_dir: str, store: Store, loop: Loop) -> None:
        self._state_dir = state_dir
        self._store = store
        self._loop = loop
        self._process: subprocess.Popen[bytes] | None = None
        self._then: Told = lambda *_: None
        self._deadline: float | None = None

    def make(self, what: str, then: Told, now: Now) -> None:
        """``backup`` or ``check``; ``then`` is told what came of it. Raises MgpuError."""
        if self._process is not None:
            raise MgpuError("Refused", "a copy is being made already", hint="wait for its end")
        self._hold()
        argv = [what, self._state_dir, str(now.wall), str(os.getpid())]
        self._process = subprocess.Popen(
            command("mgpu.store.copying", f"main({argv!r})"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._then, self._deadline = then, now.boot + LONGEST
        self._loop.watch(self._out(), lambda _mask, at: self._ended(at))

    def deadlines(self) -> Iterator[float | None]:
        """The boot time at which :meth:`expire` ends a copy that takes too long."""
        yield self._deadline

    def expire(self, now: Now) -> None:
        """End a copy that takes too long."""
        if self._process is not None and self._deadline and now.boot >= self._deadline:
            self._process.kill()
            self._deadline = None

    def close(self) -> None:
        """End what is being made."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _hold(self) -> None:
        try:
            self._store.hold_file(held=True)
        except StoreError as error:
            raise MgpuError("Refused", error.message, hint=error.hint) from error

    def _out(self) -> int:
        assert self._process is not None  # noqa: S101 - who asks has started it
        assert self._process.stdout is not None  # noqa: S101 - as well
        return self._process.stdout.fileno()

    def _ended(self, now: Now) -> None:
        """The process has said all that it says, or is gone."""
        process, then = self._process, self._then
        if process is None or process.stdout is None:
            return
        self._loop.forget(self._out())
        data = os.read(process.stdout.fileno(), _LARGEST)
        process.stdout.close()
        status = process.wait()
        self._process = self._deadline = None
        self._release()
        then(_judged(data, status), now)

    def _release(self) -> None:
        try:
            self._store.hold_file(held=False)
        except StoreError as error:  # its log grows until the next start
            log.error(f"the database's log is not emptied: {error}", action="copy-failed")


def _judged(data: bytes, status: int) -> dict[str, Any] | MgpuError:
    if not data:
        return MgpuError("Internal", f"the copy failed: its process ended with {status}")
    told: dict[str, Any] = msgpack.unpackb(data)
    if "error" in told:
        return MgpuError("Refused", f"the copy failed: {told['error']}", hint=told["hint"])
    return told
