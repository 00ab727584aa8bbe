"""The scheduler's end of its link to the launcher: the few things that only root can do."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from mgpu.daemon.loop import READ, WRITE, Loop
from mgpu.model.time import Now
from mgpu.protocol import link

OnMessage = Callable[[dict[str, Any], Now], None]


class LauncherLink:
    """Sends orders without ever blocking and hands over what the launcher says.

    ``on_lost`` is called when the launcher has gone: the scheduler then ends, since a new
    launcher starts a new one.
    """

    def __init__(
        self, sock: socket.socket, loop: Loop, on_message: OnMessage, on_lost: Callable[[], None]
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._on_message = on_message
        self._on_lost = on_lost
        self._queue: deque[tuple[dict[str, Any], tuple[int, ...]]] = deque()
        loop.watch(sock.fileno(), self._ready)

    def send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send ``message``; the descriptors ``fds`` are given away: sent, then closed."""
        self._queue.append((message, fds))
        if len(self._queue) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._queue:
            message, fds = self._queue[0]
            try:
                link.send(self._sock, message, fds)
            except BlockingIOError:
                self._loop.change(self._sock.fileno(), READ | WRITE)
                return
            except OSError:
                self._on_lost()
                return
            self._queue.popleft()
            for fd in fds:
                os.close(fd)

    def _ready(self, mask: int, now: Now) -> None:
        if mask & WRITE:
            self._loop.change(self._sock.fileno(), READ)
            self._flush()
        if mask & ~WRITE:
            self._receive(now)

    def _receive(self, now: Now) -> None:
        while True:
            try:
                received = link.recv(self._sock)
            except BlockingIOError:
                return
            if received is None:
                self._on_lost()
                return
            message, fds = received
            if message["op"] == "helper" and fds:
                message["fd"] = fds.pop()
            for fd in fds:  # it sends what is too long for a message as a file
                message["data"] = os.pread(fd, os.fstat(fd).st_size, 0)
                os.close(fd)
            self._on_message(message, now)
