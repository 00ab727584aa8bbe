"""A supervisor's line to its scheduler: the first by birth, later ones by the attempt's socket.

Only the newest state is ever owed: a scheduler that connects, or that reads again after it had
stopped, is sent that one message.
"""

from __future__ import annotations

import socket
import struct

from mgpu.privileged.loop import READABLE, WRITABLE
from mgpu.protocol import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mgpu.privileged.loop import Loop


class Channel:
    """Sends the newest state, and passes on what the scheduler says; descriptors are given away."""

    __slots__ = ("_control", "_listener", "_loop", "_newest", "_on_lost", "_on_message", "_uid")

    def __init__(
        self,
        loop: Loop,
        uid: int,
        on_message: Callable[[dict[str, Any], list[int]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._uid = uid
        self._on_message = on_message
        self._on_lost = on_lost
        self._control: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._newest: dict[str, Any] = {}

    @property
    def connected(self) -> bool:
        """Whether a scheduler is there."""
        return self._control is not None

    @property
    def newest(self) -> dict[str, Any]:
        """The last message told."""
        return self._newest

    def attach(self, control: socket.socket) -> None:
        """Speak with the scheduler at ``control`` from now on."""
        self._hang_up()
        control.setblocking(False)
        self._control = control
        self._loop.on(control.fileno(), self._on_control)

    def listen(self, listener: socket.socket) -> None:
        """Let other schedulers connect to ``listener``."""
        self._listener = listener
        self._loop.on(listener.fileno(), self._on_connection)

    def note(self, message: dict[str, Any]) -> None:
        """Let ``message`` be the newest state, which only a new scheduler is sent."""
        self._newest = message

    def tell(self, message: dict[str, Any]) -> None:
        """Send ``message``, now or as soon as a scheduler reads."""
        self._newest = message
        self._send()

    def add(self, **facts: object) -> None:
        """Tell the newest state again with more about it, unless that is known."""
        message = {**self._newest, **facts}
        if message != self._newest:
            self.tell(message)

    def _send(self) -> None:
        if self._control is None or not self._newest:
            return
        fd = self._control.fileno()
        try:
            link.send(self._control, self._newest)
        except BlockingIOError:
            self._loop.want(fd, READABLE | WRITABLE)
        except OSError:
            return  # it is gone, which the loop will notice

    def _on_connection(self, _events: int) -> None:
        if self._listener is None:
            return
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        if uid_of(peer) in (0, self._uid):
            self.attach(peer)
            self._send()
        else:
            peer.close()

    def _on_control(self, events: int) -> None:
        if events & WRITABLE and self._control is not None:
            self._loop.want(self._control.fileno(), READABLE)
            self._send()
        if events & ~WRITABLE:
            self._receive()

    def _receive(self) -> None:
        if self._control is None:
            return
        try:
            received = link.recv(self._control)
        except BlockingIOError:
            return
        except (OSError, link.LinkError):
            received = None
        if received is None:
            self._hang_up()
            self._on_lost()
            return
        self._on_message(*received)

    def _hang_up(self) -> None:
        if self._control is not None:
            self._loop.off(self._control.fileno())
            self._control.close()
            self._control = None


def uid_of(peer: socket.socket) -> int:
    """Who is at the other end, by the kernel."""
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
