"""Being attached to a job's terminal: a request over a connection of its own, answered by a socket.

The scheduler says why the job waits, as long as it does, and then hands over a line to the job's
supervisor. Neither needs the scheduler any more.
"""

from __future__ import annotations

import os
import select
import socket

from mgpu.client.session import growing_pauses, opened, wait_again
from mgpu.client.transport import Absent, Broken, Transport
from mgpu.model.errors import MgpuError
from mgpu.protocol.codec import pack
from mgpu.protocol.frames import frame
from mgpu.protocol.names import ATTACH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mgpu.client.address import Address
    from mgpu.client.session import Message

_CHUNK = 1 << 16


class _Door(Transport):
    """A connection that a descriptor can come over."""

    __slots__ = ("descriptor",)

    def __init__(self, address: Address) -> None:
        self.descriptor = -1
        super().__init__(address, None)

    def _receive(self) -> bytes:
        space = socket.CMSG_SPACE(4)
        data, ancillary, _, _ = self._socket.recvmsg(_CHUNK, space, socket.MSG_CMSG_CLOEXEC)
        for _level, _kind, rights in ancillary:
            self.descriptor = int.from_bytes(rights[:4], "little")
        return data

    def close(self) -> None:
        """End the connection; a descriptor that nobody took is closed with it."""
        super().close()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Attachment:
    """One job's terminal, through all of its attempts.

    Poll :meth:`fileno`, and :meth:`take` what has come once it is readable: why the job waits
    (``state``, ``reason``, ``detail``), how it ended (``job``), or the ``attempt`` that it can be
    seen in; then :meth:`line` is where, and to go on asks for the next attempt.
    """

    def __init__(self, address: Address, job: int, *, read_only: bool, met: bool = False) -> None:
        self._address = address
        self._request: Message = {"op": ATTACH, "job": job, "read_only": read_only}
        self._door: _Door | None = None
        self._pauses = growing_pauses()
        self._met = met
        self._line: socket.socket | None = None
        self.attempt = 0

    def fileno(self) -> int:
        """What becomes readable when there is something to take; asks again if need be."""
        while self._door is None:
            try:
                self._door = _Door(self._address)
                self._door.send(frame(pack(self._request | {"after": self.attempt})))
            except (Absent, Broken) as error:
                self._fail(error)
        return self._door.fileno()

    def take(self) -> Message | None:
        """The next thing that the scheduler says; None where it has gone and is asked again."""
        self.fileno()
        door = self._door
        if door is None:
            return None
        try:
            kind, body = opened(door.receive())
        except Broken as error:
            self._fail(error)
            return None
        except MgpuError:
            self.close()
            raise
        self._pauses, self._met = growing_pauses(), True
        if kind == "ok":
            self._answered(door, body)
        return body

    @property
    def more(self) -> bool:
        """Whether something has been read already, of which a poll would not tell."""
        return self._door is not None and self._door.more

    def line(self) -> socket.socket:
        """The line that has come, which belongs to the caller."""
        line, self._line = self._line, None
        if line is None:
            raise MgpuError("Internal", "the server promised a terminal and sent none")
        return line

    def close(self) -> None:
        """End the connection."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def _answered(self, door: _Door, body: Message) -> None:
        self.attempt = body.get("attempt", self.attempt)
        if door.descriptor >= 0:
            self._line = socket.socket(fileno=door.descriptor)
            door.descriptor = -1
        self.close()

    def _fail(self, error: Exception) -> None:
        self.close()
        wait_again(self._address, self._pauses, error, met=self._met)


def readable(*descriptors: int, writable: int = -1) -> set[int]:
    """Those of ``descriptors`` that have something to read, or ``writable`` takes something.

    Waits for one.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    if writable >= 0:
        poll.register(writable, select.POLLIN | select.POLLOUT)
    return {ready for ready, _ in poll.poll()}
