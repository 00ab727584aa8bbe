"""Keys as they are pressed, and changes of the terminal's size, until told to end."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: Waits up to so many seconds and gives what was typed; None once nobody is there any more.
Typed = Callable[[float], bytes | None]
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def usable() -> bool:
    """Whether there is a terminal on both sides that can show a screen."""
    both = sys.stdin.isatty() and sys.stdout.isatty()
    return both and os.environ.get("TERM", "dumb") not in ("dumb", "")


@contextmanager
def keyboard() -> Iterator[Typed]:
    """Have each key come at once and unseen; whatever happens, the terminal is then as before."""
    descriptor = sys.stdin.fileno()
    kept = termios.tcgetattr(descriptor)
    with _signals() as woken:
        try:
            tty.setcbreak(descriptor)
            yield lambda seconds: _typed(descriptor, woken, seconds)
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, kept)


def _typed(descriptor: int, woken: int, seconds: float) -> bytes | None:
    waiting = select.poll()
    for each in (descriptor, woken):
        waiting.register(each, select.POLLIN)
    ready = [each for each, _ in waiting.poll(max(0.0, seconds) * 1000)]
    if woken in ready:
        os.read(woken, 512)
    if descriptor not in ready:
        return b""
    try:
        return os.read(descriptor, 512) or None
    except OSError:  # the terminal was closed
        return None


@contextmanager
def _signals() -> Iterator[int]:
    """A descriptor that becomes readable at a signal; those that end a program end it tidily."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before: dict[int, Any] = {number: signal.signal(number, _end) for number in _ENDING}
    before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: None)
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
