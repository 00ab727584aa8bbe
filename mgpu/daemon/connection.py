"""One client's connection: bytes in, whole requests out, replies queued without ever blocking.

A connection handles one request at a time. While one is being answered nothing more is read, so
a client can make the scheduler hold no more than one request, what came in one piece with it, and
one stretch of reply.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator

from mgpu.daemon import limits
from mgpu.daemon.faults import contained
from mgpu.daemon.loop import READ, WRITE, Loop
from mgpu.model.time import Now
from mgpu.protocol import codec
from mgpu.protocol.frames import FrameDecoder, frame

#: The largest message of a reply.
LARGEST_REPLY = 16 << 20


class Connection:
    """A connected client with the identity that the kernel told: ``uid``, and its socket's rank.

    ``payer`` is charged for it: the uid, or the user that the uid was lent to.
    ``admin`` is True on the admin socket, ``granted`` are the roles that are configured.
    ``deadline`` is the boot time at which the connection is closed unless something happens first;
    None while the server owes an answer.
    """

    def __init__(self, sock: socket.socket, loop: Loop, now: Now, *, uid: int, admin: bool) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.uid = uid
        self.payer = uid
        self.admin = admin
        self.granted: frozenset[str] = frozenset()
        self.greeted = False
        self.busy = False
        self.advancing = False
        self.closing = False
        self.gone = False
        self.waiting: dict[str, object] = {}
        self.size = 0  # of the request that is being answered
        self.charged = 0  # of `held`, as the ledger knows it
        self.deadline: float | None = now.boot + limits.FIRST_FRAME
        self._loop = loop
        self._decoder = FrameDecoder(limits.FRAME)
        self._out = bytearray()
        self._line: socket.socket | None = None
        self._source: Iterator[bytes] | None = None
        self._mask = READ | limits.RDHUP
        self._bodies: deque[bytes] = deque()
        self._queued = 0  # bytes of them

    # -- reading ------------------------------------------------------------------------------

    def receive(self, now: Now) -> bool:
        """Read what is there. False when the client has gone; MgpuError for a false frame."""
        try:
            data = self.sock.recv(limits.READ_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        begun = self._decoder.buffered > 0
        bodies = self._decoder.feed(data)
        self._bodies += bodies
        self._queued += sum(map(len, bodies))
        if self.greeted and self._decoder.buffered and (bodies or not begun):
            self.deadline = now.boot + limits.WHOLE_REQUEST
        return True

    def next_message(self) -> dict[str, object] | None:
        """The next whole message, or None. Raises MgpuError for bytes that are none."""
        if not self._bodies:
            return None
        body = self._bodies.popleft()
        self.size = len(body)
        self._queued -= self.size
        return codec.unpack_request(body)

    def drop(self) -> None:
        """Forget what came and was not answered."""
        self.size = 0
        self.waiting = {}
        self._bodies.clear()
        self._queued = 0
        self._decoder = FrameDecoder(limits.FRAME)

    @property
    def held(self) -> int:
        """Bytes of requests that have come and are not answered."""
        return self.size + self._queued + self._decoder.buffered

    def rest(self, now: Now) -> None:
        """Nothing is owed: a frame that has begun must be whole in time, a new one may wait."""
        partial = self._decoder.buffered and not self._out
        self.deadline = now.boot + (limits.WHOLE_REQUEST if partial else limits.IDLE)

    # -- writing ------------------------------------------------------------------------------

    def begin(self) -> None:
        """A request is being answered: read no more until it is, and never time out."""
        self.busy = True
        self.deadline = None
        self._update()

    def send(self, message: dict[str, object]) -> None:
        """Queue one message."""
        self._out += frame(codec.pack(message), LARGEST_REPLY)

    def stream(self, messages_: Iterator[dict[str, object]]) -> None:
        """Queue a reply that is made piece by piece, as fast as the client takes it."""
        self._source = (frame(codec.pack(m), LARGEST_REPLY) for m in messages_)

    def hand(self, message: dict[str, object], line: socket.socket) -> None:
        """Queue the last message, and with it a socket that is given away.

        The connection goes on to count as busy, so that one client cannot have many on the way.
        """
        self._line = line
        self.send(message)

    def close(self) -> None:
        """Close the socket, and the one that could not be handed over."""
        self.sock.close()
        self.gone = True
        if self._line is not None:
            self._line.close()

    def finish(self, now: Now) -> bool:
        """The request is answered: send what is queued, be ready for the next. False if gone."""
        self.busy = False
        self.size = 0
        self.rest(now)
        return self.flush(now)

    def flush(self, now: Now) -> bool:
        """Send as much as the client takes now. False when it has gone."""
        try:
            while self._fill():
                sent = self._transmit()
                del self._out[:sent]
                if not self.busy:
                    self.rest(now)
        except BlockingIOError:
            pass
        except OSError:
            return False
        self._update()
        return bool(self._out) or not self.closing

    def _transmit(self) -> int:
        if self._line is None:
            return self.sock.send(self._out)
        sent = socket.send_fds(self.sock, [self._out], [self._line.fileno()])
        self._line.close()
        self._line = None
        return sent

    def _fill(self) -> bool:
        """Whether there is something to send, taking the next piece of a stream if need be."""
        while self._source is not None and len(self._out) < limits.SEND_AHEAD:
            with contained("stream", self.uid):
                piece = next(self._source, None)
            if piece is None:
                self._source = None
            else:
                self._out += piece
        return bool(self._out)

    def _update(self) -> None:
        mask = limits.RDHUP
        if not (self.busy or self._out or self.closing or self._bodies):
            mask |= READ
        if self._out:
            mask |= WRITE
        if mask != self._mask:
            self._mask = mask
            self._loop.change(self.fd, mask)

    @property
    def ready(self) -> bool:
        """Whether the next request may be handled."""
        return not (self.busy or self.closing or self.gone or self.streaming)

    @property
    def unsent(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out)

    @property
    def streaming(self) -> bool:
        """Whether an answer is still being made."""
        return self._source is not None
