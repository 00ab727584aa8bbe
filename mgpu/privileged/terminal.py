"""The terminal of a job: from its pty to the log and to whoever is attached, and back.

Nothing here blocks. Output is read only as fast as the log takes it, and the log loses none of it;
a client that cannot keep up loses the middle, and is told how much.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from mgpu.privileged.loop import READABLE, WRITABLE
from mgpu.privileged.viewer import Viewer, refuse
from mgpu.protocol import tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mgpu.privileged.logthread import Log
    from mgpu.privileged.loop import Loop

#: How many clients there may be.
MOST_VIEWERS = 16
#: More than a terminal gives at once.
_CHUNK = 8 * 1024
#: Reads of the terminal in one turn of the loop, so that the rest has its turn too.
_READS = 32


class Terminal:
    """The pty's two ends, the log, and the clients that are attached.

    The slave is kept open so that the job may close and open it again; ``drain`` lets it go.
    ``on_done`` is called when all output has been read and is in the log.
    """

    __slots__ = (
        *("_draining", "_ending", "_finished", "_input", "_log", "_loop", "_master", "_on_done"),
        *("_slave", "_viewers", "_watched"),
    )

    def __init__(
        self, loop: Loop, ends: tuple[int, int], log: Log, on_done: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._master, self._slave = ends
        self._log = log
        self._on_done = on_done
        self._viewers: dict[int, Viewer] = {}
        self._input = bytearray()
        self._draining = self._ending = self._finished = False
        self._watched = 0
        os.set_blocking(self._master, False)
        loop.on(log.room, self._on_room)
        self._watch_master()

    # ------------------------------------------------------------ clients

    def attach(self, line: socket.socket, *, read_only: bool) -> None:
        """Show everything from now on to the client at ``line``, unless there are too many."""
        if len(self._viewers) >= MOST_VIEWERS:
            refuse(line, f"{MOST_VIEWERS} clients are attached already, and more may not be")
            return
        viewer = Viewer(line, read_only=read_only)
        self._viewers[line.fileno()] = viewer
        self._loop.on(line.fileno(), lambda events: self._on_viewer(viewer, events))

    @property
    def unsent(self) -> bool:
        """Whether a client has not been sent everything yet."""
        return any(viewer.unsent for viewer in self._viewers.values())

    def hang_up(self) -> None:
        """Let each client go as soon as it has been sent everything."""
        self._ending = True
        self._flush_all()

    def _drop(self, viewer: Viewer) -> None:
        fd = viewer.line.fileno()
        if self._viewers.pop(fd, None) is not None:
            self._loop.off(fd)
            viewer.line.close()

    def _on_viewer(self, viewer: Viewer, events: int) -> None:
        if events & WRITABLE:
            self._flush(viewer)
        if events & ~WRITABLE and viewer.line.fileno() in self._viewers:
            self._hear(viewer)

    def _flush_all(self) -> None:
        for viewer in list(self._viewers.values()):
            self._flush(viewer)

    def _flush(self, viewer: Viewer) -> None:
        if not viewer.flush() or (self._ending and not viewer.unsent):
            self._drop(viewer)
        else:
            self._watch(viewer)

    def _watch(self, viewer: Viewer) -> None:
        """Nobody is heard while the job does not read what was typed before."""
        events = 0 if self._input else READABLE
        events |= WRITABLE if viewer.unsent else 0
        if events != viewer.watched:
            viewer.watched = events
            self._loop.want(viewer.line.fileno(), events)

    def _hear(self, viewer: Viewer) -> None:
        piece = viewer.receive()
        try:
            if piece is None:
                self._drop(viewer)
            elif not viewer.read_only:
                self._obey(piece[:1], piece[1:])
        except tty.LineError:
            self._drop(viewer)

    def _obey(self, kind: bytes, body: bytes) -> None:
        if kind == tty.DATA:
            self._input += body
            self._pass_on()
        elif kind == tty.SIZE:
            self.resize(*tty.size_of(body))

    # ------------------------------------------------------------ the terminal

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal a size: the kernel sends SIGWINCH where it is another one."""
        if rows and columns:
            size = struct.pack("HHHH", rows, columns, 0, 0)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def _pass_on(self) -> None:
        """Give the job what was typed, as far as it takes it."""
        try:
            while self._input:
                del self._input[: os.write(self._master, self._input)]
        except BlockingIOError:
            pass
        except OSError:  # the job has gone
            self._input.clear()
        self._watch_master()
        for viewer in self._viewers.values():
            self._watch(viewer)

    def _watch_master(self) -> None:
        """Watch the master for what is wanted of it; not at all while the log is full.

        Not by asking for no events: when the job has gone, the hang-up would be told all the time.
        """
        events = READABLE | (WRITABLE if self._input else 0)
        if self._log.full or self._finished:
            events = 0
        if events != self._watched:
            self._loop.off(self._master)
            if events:
                self._loop.on(self._master, self._on_master, events)
            self._watched = events

    def _on_master(self, events: int) -> None:
        if events & WRITABLE:
            self._pass_on()
        if events & ~WRITABLE:
            self._read()

    def _read(self) -> None:
        """Read what the job wrote.

        EIO means that nobody has the other end open. When the job is over, "nothing now" is the
        end too: a stranger may have the terminal open, and what it writes is none of the job's.
        """
        pieces: list[bytes] = []
        try:
            while len(pieces) < _READS and not (self._log.full or self._finished):
                pieces.append(os.read(self._master, _CHUNK))
        except BlockingIOError:
            self._finished = self._draining
        except OSError:
            self._finished = True
        if pieces:
            self._share(b"".join(pieces))
        self._watch_master()
        if self._finished:
            self._log.close()

    def _share(self, data: bytes) -> None:
        self._log.put(data)
        for viewer in self._viewers.values():
            viewer.show(data)
        self._flush_all()

    def _on_room(self, _events: int) -> None:
        self._log.seen()
        if self._log.done:
            self._loop.off(self._log.room)
            self._on_done()
        elif self._draining and not self._finished:
            self._read()
        else:
            self._watch_master()

    # ------------------------------------------------------------ the end

    def drain(self) -> None:
        """The job's tree is empty: read the rest, then close the log."""
        if self._draining:
            return
        self._draining = True
        os.close(self._slave)
        if not self._finished:
            self._read()
