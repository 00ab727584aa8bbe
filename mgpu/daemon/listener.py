"""A listening socket: accepts in bursts, within a budget, and rests when that is used up."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from mgpu.daemon import limits
from mgpu.daemon.charges import Bucket
from mgpu.daemon.loop import READ, Loop
from mgpu.model.time import Now
from mgpu.system.log import log

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Calls ``welcome`` with each new connection of ``sock``.

    Each socket has a budget of its own: a flood on the users' leaves the administrators' alone.
    """

    def __init__(
        self, sock: socket.socket, loop: Loop, welcome: Callable[[socket.socket, Now], None]
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._welcome = welcome
        self._budget = Bucket(limits.ACCEPT_BURST, 0.0)
        self.rests_until: float | None = None
        loop.watch(sock.fileno(), lambda _mask, now: self._accept(now))

    def expire(self, now: Now) -> None:
        """Go on accepting when it is time."""
        if self.rests_until is not None and now.boot >= self.rests_until:
            self._loop.change(self._sock.fileno(), READ)
            self.rests_until = None

    def _accept(self, now: Now) -> None:
        for _ in range(limits.ACCEPTS_PER_TURN):
            again = self._budget.take(limits.ACCEPT_BURST, limits.ACCEPT_RATE, now.boot)
            if again:
                self._rest(again)
                return
            try:
                client, _ = self._sock.accept()
            except BlockingIOError:
                self._budget.tokens += 1.0
                return
            except OSError as error:
                self._failed(error, now)
                return
            self._welcome(client, now)

    def _failed(self, error: OSError, now: Now) -> None:
        if error.errno in _EXHAUSTED:
            log.warning("cannot accept", action="accept-failed", error=error.strerror)
            self._rest(now.boot + limits.ACCEPT_PAUSE)

    def _rest(self, until: float) -> None:
        self._loop.change(self._sock.fileno(), 0)
        self.rests_until = until
