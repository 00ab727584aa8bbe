"""What the monitor is asking the driver at this moment, for the time when no answer comes.

A page of memory that monitor and scheduler share: saying it costs no message and wakes nobody.
"""

from __future__ import annotations

import mmap
import os
from typing import Final, NamedTuple

#: The call that starts the driver, which may take its time.
START: Final = "nvmlInit"

_SIZE: Final = 256


class Call(NamedTuple):
    """A call of the driver. ``slot`` is the number of the GPU that it is about, -1 for none."""

    slot: int
    function: str


class Page:
    """One call, or none, written by one process and read by another."""

    def __init__(self, fd: int) -> None:
        """The page behind ``fd``, which may be closed afterwards."""
        self._memory = mmap.mmap(fd, _SIZE)

    def write(self, slot: int, function: str, since: float) -> None:
        """This is asked since ``since`` (boot time)."""
        text = f"{since} {slot} {function}".encode()[: _SIZE - 1]
        self._memory[: len(text) + 1] = text + b"\0"

    def clear(self) -> None:
        """Nothing is asked."""
        self._memory[0] = 0

    def read(self) -> Call | None:
        """What is asked, if anything."""
        words = self._words()
        return Call(int(words[1]), words[2]) if words else None

    def since(self) -> float:
        """The boot time from which it is asked; 0 when nothing is."""
        words = self._words()
        return float(words[0]) if words else 0.0

    def _words(self) -> list[str]:
        text = self._memory[:].partition(b"\0")[0].decode(errors="replace")
        return text.split(" ", 2) if text.count(" ") >= 2 else []


def create() -> int:
    """A descriptor of a new page."""
    fd = os.memfd_create("mgpu-monitor")
    os.ftruncate(fd, _SIZE)
    return fd
