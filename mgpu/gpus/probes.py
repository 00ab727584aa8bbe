"""Finds out when a GPU that hung can be asked again, without being held up by it."""

from __future__ import annotations

import os
import subprocess
from typing import Final

from mgpu.system.process import command, end_with

#: Seconds after which a GPU that hung is asked for the first time.
PAUSE: Final = 60.0


class Probes:
    """A process for each number in ``skipped``, which asks once; the answer ends the skipping."""

    def __init__(self, skipped: dict[int, str], pause: float = PAUSE) -> None:
        self._skipped = skipped
        self._pause = pause
        self._since: float | None = None
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def look(self, boot: float) -> None:
        """Start what is due, and see which GPUs have answered."""
        if not self._skipped:
            return
        self._since = boot if self._since is None else self._since
        if boot - self._since < self._pause:
            return
        for slot in list(self._skipped):
            if slot not in self._running:
                self._running[slot] = start("probes", "ask", slot, os.getpid())
            elif self._running[slot].poll() is not None:
                del self._skipped[slot], self._running[slot]


def start(module: str, function: str, *args: int) -> subprocess.Popen[bytes]:
    """Run ``function(*args)`` of a module of this package in a process of its own.

    It has the descriptors among ``args`` that are open here, and nothing of its surroundings.
    """
    argv = command(f"mgpu.gpus.{module}", f"{function}{args!r}")
    fds = args if module == "monitor" else ()
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=fds, cwd="/")


def ask(slot: int, parent: int) -> None:
    """Ask everything about one GPU, as long as ``parent`` lives; hang where the driver does."""
    import pynvml

    from mgpu.gpus.cards import identify, measure
    from mgpu.gpus.driver import Driver
    from mgpu.gpus.faults import Faults
    from mgpu.gpus.owners import Owners

    end_with(parent)
    driver = Driver()
    try:
        driver("nvmlInit")
        card = identify(driver, slot, None)
        Faults(driver, {}).look(card.gpu.bus, card.handle)
        measure(driver, card, Owners(""))
    except pynvml.NVMLError:
        pass  # an error is an answer
