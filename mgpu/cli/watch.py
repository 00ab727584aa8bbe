"""Showing something again and again: in place on a terminal, one after the other elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from mgpu.cli.base import OutputLost, emit

Lines = Sequence[str]
#: Makes the lines for a width; 0 is no bound.
Draw = Callable[[int], Lines]

#: The other screen of the terminal, without a cursor; and back.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def width() -> int:
    """The width of the terminal; 0 where the output goes elsewhere."""
    return _size()[0] if sys.stdout.isatty() else 0


def watch(draw: Draw, seconds: float) -> None:
    """Show what ``draw`` makes every so many seconds until the user interrupts."""
    terminal = sys.stdout.isatty()
    lines = draw(width())  # what is wrong from the beginning is said on the usual screen
    try:
        _write(_ENTER if terminal else "")
        while True:
            _write(_frame(lines) if terminal else "\n".join(lines) + "\n\n")
            pause(seconds)
            lines = draw(width())
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        _write(_LEAVE if terminal else "")


def pause(seconds: float) -> None:
    """Wait for so long, or until nobody reads any more."""
    import select

    reader = select.poll()
    reader.register(sys.stdout, 0)
    reader.poll(seconds * 1000)


def show(draw: Draw) -> None:
    """Show it once."""
    emit("\n".join(draw(width())))


def _frame(lines: Lines) -> str:
    """All in one piece, each line over the old one: nothing is seen to vanish in between."""
    height = max(2, _size()[1])
    if len(lines) > height:
        lines = [*lines[: height - 1], f"... and {len(lines) - height + 1} more lines"]
    return _HOME + f"{_END_OF_LINE}\n".join(lines) + _END_OF_LINE + _BELOW


def _size() -> tuple[int, int]:
    import shutil

    columns, lines = shutil.get_terminal_size((80, 24))
    return columns, lines


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise OutputLost(error) from error
