"""The scheduler's end of a line to another process of ours: watched, and never waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mgpu.daemon import limits
from mgpu.daemon.loop import Loop
from mgpu.model.time import Now
from mgpu.protocol import link
from mgpu.system.log import log


class Line:
    """Calls ``ready`` when something has come; ``about`` says whose line it is, in the log."""

    def __init__(
        self, loop: Loop, sock: socket.socket, ready: Callable[[Now], None], **about: object
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.closed = False
        self._loop = loop
        self._about = about
        loop.watch(sock.fileno(), lambda _mask, now: ready(now))

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send ``message``, and copies of ``fds``. Raises OSError where that cannot be done now."""
        link.send(self.sock, message, fds)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What has come. The line is closed once the other end is gone, or sends nonsense.

        So many in a turn: who never stops to speak keeps nobody else waiting.
        """
        for _ in range(limits.MESSAGES_PER_TURN):
            if self.closed:
                return
            try:
                received = link.recv(self.sock)
            except BlockingIOError:
                return
            except (OSError, link.LinkError) as error:
                self.reject(error)
                return
            if received is None:
                self.close()
                return
            message, fds = received
            for fd in fds:  # nobody sends any; keep none
                os.close(fd)
            yield message

    def reject(self, error: Exception) -> None:
        """What the other end says makes no sense: say so, and hear no more of it."""
        log.warning("broken link", action="link-broken", error=repr(error), **self._about)
        self.close()

    def close(self) -> None:
        """End the line."""
        if not self.closed:
            self.closed = True
            self._loop.forget(self.sock.fileno())
            self.sock.close()
