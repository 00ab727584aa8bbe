"""The log of a job that has a terminal, written by a thread of its own.

A write to a file system that does not answer blocks, whatever the flags of the descriptor; so the
supervisor must not make it. The thread is started after the drop to the service user, and holds a
descriptor that the job's child opened as the user.
"""

from __future__ import annotations

import _thread
import os
from collections import deque

#: What may wait to be written. Then the terminal is not read, and the job waits as for any log.
MOST_WAITING = 1 << 20


class Log:
    """Takes pieces without ever blocking; ``full`` says when to stop, ``room`` when to go on."""

    __slots__ = (
        *("_closed", "_file", "_given", "_lost", "_pieces", "_taken", "_wake", "done"),
        "room",
    )

    def __init__(self, file: int) -> None:
        self._file = file
        self._pieces: deque[bytes] = deque()
        self._given = self._taken = self._lost = 0
        self._closed = self.done = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        #: Readable when something was written, or all is done.
        self.room = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def start(self) -> None:
        """Begin to write."""
        _thread.start_new_thread(self._run, ())

    @property
    def full(self) -> bool:
        """Whether nothing more should be given now."""
        return self._given - self._taken >= MOST_WAITING

    def put(self, piece: bytes) -> None:
        """Have ``piece`` written after those before it."""
        self._pieces.append(piece)
        self._given += len(piece)
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Nothing more will come: ``done`` follows when all is written."""
        self._closed = True
        os.eventfd_write(self._wake, 1)

    def seen(self) -> None:
        """Take note of ``room``, which ends the event."""
        try:
            os.eventfd_read(self.room)
        except BlockingIOError:
            return

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        closed = False
        while not closed:
            os.eventfd_read(self._wake)
            closed = self._closed  # read before the pieces: those before the close are all there
            self._write_all()
            os.eventfd_write(self.room, 1)
        self.done = True
        os.eventfd_write(self.room, 1)

    def _write_all(self) -> None:
        while self._pieces:
            data = self._joined()
            self._write(data)
            self._taken += len(data)
            os.eventfd_write(self.room, 1)

    def _joined(self) -> bytes:
        """What waits, up to a size that is written well in one go."""
        parts, size = [], 0
        while self._pieces and size < MOST_WAITING // 4:
            parts.append(self._pieces.popleft())
            size += len(parts[-1])
        return b"".join(parts)

    def _write(self, data: bytes) -> None:
        """Write it all; a full disk loses output, and a line tells how much once there is room."""
        rest = memoryview(data)
        try:
            if self._lost:
                os.write(self._file, b"\n[mgpu] %d bytes of output are missing here\n" % self._lost)
                self._lost = 0
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            self._lost += len(rest)
