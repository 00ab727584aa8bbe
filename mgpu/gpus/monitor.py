"""The monitor process: asks the driver again and again, and tells the scheduler what is new.

It ends when the scheduler is gone. Whether it hangs is for the scheduler to see: so it also says
that nothing is new, every :data:`HEARTBEAT` rounds.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from typing import Any, Final

from mgpu.gpus.base import pack
from mgpu.gpus.owners import Owners
from mgpu.gpus.simulated import inventory_of
from mgpu.model.gpu import Inventory
from mgpu.protocol import link
from mgpu.system.log import log

#: Rounds without a change after which the inventory is sent all the same.
HEARTBEAT: Final = 3


class Watcher:
    """One monitor: what it was told by the scheduler, and what it said last."""

    def __init__(self, scheduler: socket.socket, setup: Mapping[str, Any]) -> None:
        from mgpu.gpus.nvml import Nvml

        self._scheduler = scheduler
        self._setup = setup
        self._nvml = Nvml()
        self._leaders: dict[int, int] = {}
        self._said: Inventory | None = None
        self._silent = 0
        self._complaint = ""

    def run(self) -> None:
        """Serve until the scheduler is gone, or until nothing can change any more."""
        final = self._round(asked=True)
        while not final:
            asked = bool(self._wait())
            if asked and not self._hear():
                return
            final = self._round(asked=asked)

    def _wait(self) -> list[object]:
        return [*select.select([self._scheduler], [], [], self._setup["interval"])[0]]

    def _hear(self) -> bool:
        received = link.recv(self._scheduler)
        if received is None:
            return False
        self._leaders = {int(pid): int(job) for pid, job in received[0]["leaders"]}
        return True

    def _round(self, *, asked: bool) -> bool:
        inventory, final = self._look()
        self._silent += 1
        if asked or final or inventory != self._said or self._silent >= HEARTBEAT:
            message = {"op": "inventory", "inventory": pack(inventory), "final": final}
            link.send(self._scheduler, message)
            self._said, self._silent = inventory, 0
        return final

    def _look(self) -> tuple[Inventory, bool]:
        """The GPUs as they are now, and whether that cannot change any more."""
        from mgpu.gpus.nvml import NvmlError

        may_simulate = self._setup["backend"] == "auto" and self._said is None
        try:
            gpus, installed, trouble = self._nvml.read(self._owners()), True, ""
        except NvmlError as error:
            gpus, installed, trouble = (), error.installed, str(error)
        if may_simulate and not gpus and (self._setup["simulated"] or not installed):
            return inventory_of(self._setup["simulated"]), True
        self._complain(trouble)
        return Inventory("nvml", gpus, self._nvml.topology(gpus)), False

    def _owners(self) -> Owners:
        return Owners(self._setup["cgroup"], self._leaders)

    def _complain(self, words: str) -> None:
        if words and words != self._complaint:
            log.warning("cannot ask the GPU driver", action="nvml-failed", error=words)
        self._complaint = words


def main(fd: int) -> None:
    """Serve the scheduler at the other end of ``fd``."""
    with socket.socket(fileno=fd) as scheduler:
        received = link.recv(scheduler)
        if received is not None:
            try:
                Watcher(scheduler, received[0]).run()
            except BrokenPipeError:
                pass  # the scheduler is gone: so is the reason to watch
