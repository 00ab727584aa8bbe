"""The caller's own terminal: its modes, its size, and what is typed into it."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType

_INPUT, _OUTPUT = 0, 1
_CHUNK = 1 << 14
_LFLAG, _CC = 3, 6
#: Signals that end this program; the terminal is put right first.
_FATAL = (signal.SIGTERM, signal.SIGHUP)


class Screen:
    """Standard input and output, which must be a terminal; put right again on leaving.

    :meth:`typing` lets single keys through and shows none of them; :meth:`raw` gives all of the
    terminal to somebody else. ``resized`` becomes readable when its size has changed.
    """

    def __enter__(self) -> Screen:
        self._modes = termios.tcgetattr(_INPUT)
        self.resized, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGWINCH, lambda _number, _frame: None)
        for number in _FATAL:
            signal.signal(number, _leave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            termios.tcsetattr(_INPUT, termios.TCSADRAIN, self._modes)
        except termios.error:  # the terminal is gone, as after a lost connection
            return
        finally:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGWINCH, *_FATAL):
                signal.signal(number, signal.SIG_DFL)
            os.close(self.resized)
            os.close(self._wake)

    def typing(self) -> None:
        """Keys come one by one, Ctrl-C and Ctrl-\\ too; output is as usual."""
        modes = [*self._modes]
        modes[_LFLAG] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
        modes[_CC] = [*modes[_CC]]
        modes[_CC][termios.VMIN], modes[_CC][termios.VTIME] = 1, 0
        termios.tcsetattr(_INPUT, termios.TCSADRAIN, modes)

    def raw(self) -> None:
        """Nothing of what passes is changed, in either direction."""
        tty.setraw(_INPUT, termios.TCSADRAIN)

    def size(self) -> tuple[int, int]:
        """Rows and columns; 24 by 80 where the terminal does not say."""
        return size()

    def seen(self) -> None:
        """Take note of ``resized``, which ends the event."""
        try:
            os.read(self.resized, _CHUNK)
        except BlockingIOError:
            return

    def read(self) -> bytes:
        """What was typed; nothing when the terminal is gone."""
        try:
            return os.read(_INPUT, _CHUNK)
        except OSError:
            return b""

    def write(self, data: bytes | memoryview) -> None:
        """Show ``data``, however long the terminal takes."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(_OUTPUT, rest) :]

    def put_right(self, data: bytes) -> None:
        """Show ``data`` that undoes something, unless the terminal is gone."""
        try:
            self.write(data)
        except OSError:
            return  # as after a lost connection


def is_terminal() -> bool:
    """Whether standard input and output are a terminal."""
    return os.isatty(_INPUT) and os.isatty(_OUTPUT)


def size() -> tuple[int, int]:
    """Rows and columns of the terminal; 24 by 80 where it does not say."""
    try:
        columns, rows = os.get_terminal_size(_OUTPUT)
    except OSError:
        columns = rows = 0
    return rows or 24, columns or 80


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
