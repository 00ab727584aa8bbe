"""What a supervisor knows of its job's terminal: clients that wait for it, then the terminal."""

from __future__ import annotations

import socket

from mgpu.privileged import pty
from mgpu.privileged.logthread import Log
from mgpu.privileged.refusal import Refusal
from mgpu.privileged.terminal import MOST_VIEWERS, Terminal
from mgpu.privileged.viewer import refuse
from mgpu.protocol import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mgpu.privileged.loop import Loop

_NONE = "the job has no terminal"
_PARTS = 3


class Console:
    """The terminal, if the job turns out to have one, and who wants to see it."""

    __slots__ = ("_decided", "_done", "_loop", "_over", "_waiting", "terminal")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: list[tuple[socket.socket, bool]] = []
        self._decided = self._done = self._over = False
        self.terminal: Terminal | None = None

    def open(self, fds: list[int]) -> None:
        """The job's child has sent master, slave and log; ``Refusal`` if they are something else.

        The log's thread is started here: after the drop, since a thread has capabilities of its
        own.
        """
        if len(fds) != _PARTS or self._decided:
            link.close(fds)
            raise Refusal("terminal", 0, "the job's child sent something else than a terminal")
        master, slave, file = fds
        pty.check(master)
        log = Log(file)
        log.start()
        self.terminal = Terminal(self._loop, (master, slave), log, self.give_up)
        self.decide()

    def decide(self) -> None:
        """Whether there is a terminal is known: clients need not wait any longer."""
        self._decided = True
        waiting, self._waiting = self._waiting, []
        for line, read_only in waiting:
            self._show(line, read_only=read_only)

    def attach(self, fds: list[int], *, read_only: bool) -> None:
        """Let the client at the socket ``fds`` see the terminal, at once or when there is one."""
        if len(fds) != 1:
            link.close(fds)  # there was no room for it: the client sees the end of its line
            return
        line = socket.socket(fileno=fds[0])
        if self._decided:
            self._show(line, read_only=read_only)
        elif len(self._waiting) < MOST_VIEWERS:
            self._waiting.append((line, read_only))
        else:
            refuse(line, "too many clients wait for the terminal")

    def _show(self, line: socket.socket, *, read_only: bool) -> None:
        if self._over:
            line.close()  # the scheduler tells what became of the job
        elif self.terminal is None:
            refuse(line, _NONE)
        else:
            self.terminal.attach(line, read_only=read_only)

    def drained(self) -> bool:
        """Whether all output is read and in the log; called when the job's tree is empty."""
        if self.terminal is None:
            return True
        if not self._done:
            self.terminal.drain()
        return self._done

    def give_up(self) -> None:
        """Nothing more is waited for."""
        self._done = True

    def hang_up(self) -> None:
        """The end has been told: let the clients go, each when it has been sent everything."""
        self._over = True
        self.decide()
        if self.terminal is not None:
            self.terminal.hang_up()

    @property
    def unsent(self) -> bool:
        """Whether a client has not been sent everything yet."""
        return self.terminal is not None and self.terminal.unsent
