"""The monitor process: asks the driver again and again, and tells the scheduler what is new.

It ends when the scheduler is gone, and when a call of the driver does not return in time: the page
that it shares with the scheduler then says which. Where the kernel cannot end it either, that is
for the scheduler to see: so it also says that nothing is new, every :data:`HEARTBEAT` rounds.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from typing import Any, Final

from mgpu.gpus.base import pack, unpack
from mgpu.gpus.owners import Owners
from mgpu.gpus.page import Page
from mgpu.gpus.probes import Probes
from mgpu.gpus.simulated import inventory_of
from mgpu.model.gpu import Inventory
from mgpu.protocol import link
from mgpu.system import clock
from mgpu.system.log import log

#: Rounds without a change after which the inventory is sent all the same.
HEARTBEAT: Final = 3


class Watcher:
    """One monitor: what it was told by the scheduler, and what it said last."""

    def __init__(self, scheduler: socket.socket, page: Page, setup: Mapping[str, Any]) -> None:
        from mgpu.gpus.driver import Driver
        from mgpu.gpus.nvml import Nvml

        self._scheduler = scheduler
        self._setup = setup
        start, answer, pause = setup["limits"]
        self._driver = Driver(page, (start, answer))
        known = [unpack(gpu) for gpu in setup["known"]]
        self._nvml = Nvml(self._driver, known, dict(setup["slots"]), dict(setup["skipped"]))
        self._probes = Probes(self._nvml.skipped, pause)
        self._owners = Owners(setup["cgroup"])
        self._leaders: dict[int, int] = {}
        self._said: Inventory | None = None
        self._silent = 0
        self._complaint = ""

    def run(self) -> None:
        """Serve until the scheduler is gone, or until nothing can change any more."""
        final = self._round(asked=True)
        while not final:
            asked = self._readable(self._setup["interval"])
            while self._readable(0):
                if not self._hear():
                    return
            final = self._round(asked=asked)

    def _readable(self, seconds: float) -> bool:
        return bool(select.select([self._scheduler], [], [], seconds)[0])

    def _hear(self) -> bool:
        received = link.recv(self._scheduler)
        if received is None:
            return False
        message = received[0]
        if message["op"] == "forgive":
            self._nvml.forgive(message["uuid"])
        else:
            self._leaders = {int(pid): int(job) for pid, job in message["leaders"]}
        return True

    def _round(self, *, asked: bool) -> bool:
        if self._driver.replaced():
            link.send(self._scheduler, {"op": "replaced"})
            return True
        inventory, final = self._look()
        self._silent += 1
        undated = inventory._replace(taken=0.0)
        if asked or final or undated != self._said or self._silent >= HEARTBEAT:
            self._say(inventory, final=final)
            self._said, self._silent = undated, 0
        return final

    def _say(self, inventory: Inventory, *, final: bool) -> None:
        for gpu in inventory.gpus:
            link.send(self._scheduler, {"op": "gpu", "gpu": pack(gpu)})
        message = {
            "op": "inventory",
            "backend": inventory.backend,
            "topology": [list(row) for row in inventory.topology],
            "driver": inventory.driver,
            "taken": inventory.taken,
            "hidden": inventory.hidden,
            "slots": list(self._nvml.slots.items()),
            "skipped": list(self._nvml.skipped.items()),
            "final": final,
        }
        link.send(self._scheduler, message)

    def _look(self) -> tuple[Inventory, bool]:
        """The GPUs as they are now, and whether that cannot change any more."""
        from mgpu.gpus.nvml import NvmlError

        may_simulate = self._setup["backend"] == "auto" and self._said is None
        taken = clock.now().boot
        self._owners.look(self._leaders)
        self._probes.look(taken)
        try:
            gpus, installed, trouble = self._nvml.read(self._owners), True, ""
        except NvmlError as error:
            gpus, installed, trouble = (), error.installed, str(error)
        if may_simulate and not gpus and (self._setup["simulated"] or not installed):
            return inventory_of(self._setup["simulated"]), True
        self._complain(trouble)
        links = self._nvml.topology(gpus)
        version, hidden = self._nvml.version(), self._owners.hidden
        self._driver.rest()
        return Inventory("nvml", gpus, links, version, taken, hidden), False

    def _complain(self, words: str) -> None:
        if words and words != self._complaint:
            log.warning("cannot ask the GPU driver", action="nvml-failed", error=words)
        self._complaint = words


def main(fd: int, page_fd: int) -> None:
    """Serve the scheduler at the other end of ``fd``."""
    with socket.socket(fileno=fd) as scheduler:
        received = link.recv(scheduler)
        if received is not None:
            try:
                Watcher(scheduler, Page(page_fd), received[0]).run()
            except BrokenPipeError:
                pass  # the scheduler is gone: so is the reason to watch
