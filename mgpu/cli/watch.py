"""Showing something again and again: in place on a terminal, one after the other elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mgpu.cli.base import OutputLost, emit

if TYPE_CHECKING:
    from mgpu.client.news import News

Lines = Sequence[str]
#: Makes the lines for a width; 0 is no bound.
Draw = Callable[[int], Lines]

#: The other screen of the terminal, without a cursor; and back.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
#: Seconds between what is shown and what is shown on news.
_CALM = 1.0
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def width() -> int:
    """The width of the terminal; 0 where the output goes elsewhere."""
    return _size()[0] if sys.stdout.isatty() else 0


def watch(draw: Draw, seconds: float, news: News | None = None) -> None:
    """Show what ``draw`` makes every so many seconds, and on news, until the user interrupts."""
    terminal = sys.stdout.isatty()
    lines = draw(width())  # what is wrong from the beginning is said on the usual screen
    try:
        _write(_ENTER if terminal else "")
        while True:
            _write(_frame(lines) if terminal else "\n".join(lines) + "\n\n")
            wait(seconds, news)
            lines = draw(width())
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        _write(_LEAVE if terminal else "")


def wait(seconds: float, news: News | None) -> None:
    """Wait for so long, or until there are news; in a busy queue they come once a second."""
    if news is None:
        pause(seconds)
        return
    pause(min(seconds, _CALM))
    left = seconds - _CALM
    if left > 0 and pause(left, news.descriptor()):
        news.take()


def pause(seconds: float, descriptor: int | None = None) -> bool:
    """Wait for so long, or until nobody reads any more; True once ``descriptor`` is readable."""
    import select

    reader = select.poll()
    reader.register(sys.stdout, 0)
    if descriptor is not None:
        reader.register(descriptor, select.POLLIN)
    return any(ready == descriptor for ready, _ in reader.poll(seconds * 1000))


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
