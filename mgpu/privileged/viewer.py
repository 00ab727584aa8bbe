"""One client that is attached to a job's terminal, as the supervisor sees it."""

from __future__ import annotations

import socket

from mgpu.privileged.loop import READABLE
from mgpu.protocol import tty

#: What one client may have waiting.
MOST_UNSENT = 1 << 20
_PIECE = tty.MAX_PIECE - 1


class Viewer:
    """What a client has not been sent yet, and what it typed.

    ``watched`` are the events of its line that the loop looks for.
    """

    __slots__ = ("_lost", "_out", "line", "read_only", "watched")

    def __init__(self, line: socket.socket, *, read_only: bool) -> None:
        line.setblocking(False)
        self.line = line
        self.read_only = read_only
        self.watched = READABLE
        self._out = bytearray()
        self._lost = 0

    @property
    def unsent(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out or self._lost)

    def show(self, data: bytes) -> None:
        """Queue ``data``, or count it as lost until what waits has been sent."""
        if self._lost or len(self._out) + len(data) > MOST_UNSENT:
            self._lost += len(data)
        else:
            self._out += data

    def flush(self) -> bool:
        """Send what the client takes now; False when it has gone."""
        try:
            while self._out:
                self.line.send(tty.DATA + self._out[:_PIECE], socket.MSG_NOSIGNAL)
                del self._out[:_PIECE]
            if self._lost:
                self.line.send(tty.lost(self._lost), socket.MSG_NOSIGNAL)
                self._lost = 0
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def receive(self) -> bytes | None:
        """The next piece; None when the client has gone or sent nonsense.

        Descriptors that come with it are closed by the kernel: no room was made for them.
        """
        try:
            data, _, flags, _ = self.line.recvmsg(tty.MAX_PIECE)
        except BlockingIOError:
            return b"\0"  # nothing after all
        except OSError:
            return None
        return None if not data or flags & socket.MSG_TRUNC else data


def refuse(line: socket.socket, why: str) -> None:
    """Tell a client that it cannot be attached, as far as it takes that, and hang up."""
    line.setblocking(False)
    try:
        line.send(tty.refusal(why), socket.MSG_NOSIGNAL)
    except OSError:
        pass  # it has gone
    line.close()
