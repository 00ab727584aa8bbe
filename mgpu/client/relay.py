"""From the caller's terminal to the job's, and back, until either has enough."""

from __future__ import annotations

import select
import socket

from mgpu.client.attach import readable
from mgpu.client.modes import Modes
from mgpu.model.errors import MgpuError
from mgpu.protocol import tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mgpu.client.keys import Keys
    from mgpu.client.screen import Screen

_INPUT = 0
#: What may have been typed that the job has not taken.
_MOST_TYPED = 1 << 20
_PIECE = tty.MAX_PIECE - 1
#: Seconds that a size must last to be seen by a program.
_LASTS = 0.05


class Relay:
    """One line to a job's terminal, shown on a screen. ``typed`` came before there was a line."""

    def __init__(self, line: socket.socket, screen: Screen, keys: Keys, typed: bytes) -> None:
        self._line = line
        self._screen = screen
        self._keys = keys
        self._typed = bytearray(typed)
        self._modes = Modes()

    def run(self, *, redraw: bool) -> None:
        """Pass everything on until the job is over or the keys detach; then undo its modes.

        ``redraw``: have the program draw its screen, which it does for another size.
        """
        self._screen.raw()
        try:
            with self._line:
                self._pass_on(redraw=redraw)
        finally:
            self._screen.put_right(self._modes.undo())

    def _pass_on(self, *, redraw: bool) -> None:
        if redraw:
            self._tell_size(-1)
            select.select((), (), (), _LASTS)
        self._tell_size()
        while not self._keys.detached and self._turn():
            pass

    def _turn(self) -> bool:
        """Wait for something and pass it on; False when the line has ended."""
        hearing = [] if len(self._typed) >= _MOST_TYPED else [_INPUT]
        ready = readable(
            self._line.fileno(),
            self._screen.resized,
            *hearing,
            writable=self._line.fileno() if self._typed else -1,
        )
        if self._screen.resized in ready:
            self._screen.seen()
            self._tell_size()
        if _INPUT in ready and not self._hear():
            return False
        self._send()
        return self._line.fileno() not in ready or self._show()

    def _hear(self) -> bool:
        data = self._screen.read()
        self._typed += self._keys.typed(data)
        return bool(data)

    def _send(self) -> None:
        try:
            while self._typed:
                piece = tty.DATA + self._typed[:_PIECE]
                self._line.send(piece, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                del self._typed[:_PIECE]
        except BlockingIOError:
            return
        except OSError:  # the job is over; what it wrote is still to be read
            self._typed.clear()

    def _tell_size(self, more: int = 0) -> None:
        rows, columns = self._screen.size()
        try:
            piece = tty.size(max(1, rows + more), columns)
            self._line.send(piece, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            return  # as above; or so much is typed that the size does not matter

    def _show(self) -> bool:
        """Show what has come; False at the end."""
        try:
            piece = self._line.recv(tty.MAX_PIECE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        kind, body = piece[:1], piece[1:]
        if kind == tty.REFUSED:
            raise MgpuError("Refused", body.decode("utf-8", "replace"))
        if kind == tty.LOST:
            body = b"\r\n[mgpu] %d bytes are not shown; the log has them\r\n" % tty.lost_of(body)
        self._modes.shown(body)
        self._screen.write(body)
        return bool(piece)
