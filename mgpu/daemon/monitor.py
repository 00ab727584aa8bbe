"""Keeps a GPU monitor going: hears its news, replaces one that hangs or dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mgpu.daemon.loop import Loop
from mgpu.gpus import base
from mgpu.gpus.link import open_monitor
from mgpu.model.gpu import Inventory
from mgpu.model.time import Now
from mgpu.system.log import log

#: Seconds before a monitor that failed is replaced; doubled up to the last.
FIRST_PAUSE = 1.0
LAST_PAUSE = 60.0


class Watch:
    """Calls ``on_inventory`` with each new inventory, also with "none may be used" after a hang.

    ``leaders`` tells the first process of each running job, so that the monitor knows ours.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        loop: Loop,
        on_inventory: Callable[[Inventory], None],
        leaders: Callable[[], dict[int, int]],
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._on_inventory = on_inventory
        self._leaders = leaders
        self._monitor: base.Monitor | None = None
        self._fd: int | None = None
        self._last = Inventory("none", ())
        self._pause = FIRST_PAUSE
        self._restart_at: float | None = None

    def start(self, now: Now) -> None:
        """Open the monitor that is configured."""
        self._restart_at = None
        self._monitor = open_monitor(self._settings, now)
        self._fd = self._monitor.fileno()
        if self._fd is not None:
            self._loop.watch(self._fd, lambda _mask, at: self._hear(at))
        self._hear(now)

    def look(self, now: Now) -> None:
        """Jobs have started or ended: ask for news now. Simulated GPUs have none."""
        if self._monitor is not None and self._fd is not None:
            self._monitor.request(now, self._leaders())

    def stop(self) -> None:
        """End the monitor."""
        if self._monitor is not None:
            self._forget()
            self._monitor.close()
            self._monitor = None

    def deadlines(self) -> Iterator[float | None]:
        """Boot times at which :meth:`expire` has something to do."""
        yield self._restart_at
        yield self._monitor.deadline() if self._monitor is not None else None

    def expire(self, now: Now) -> None:
        """Replace a monitor that hangs or has died; meanwhile no GPU is given out."""
        if self._restart_at is not None and now.boot >= self._restart_at:
            self.start(now)
        if self._monitor is not None and self._monitor.expired(now):
            log.error("the GPU monitor does not answer", action="monitor-lost")
            self.stop()
            self._restart_at = now.boot + self._pause
            self._pause = min(LAST_PAUSE, self._pause * 2)
            self._publish(base.unavailable(self._last, "the GPU driver does not answer"))

    def _hear(self, now: Now) -> None:
        inventory = self._monitor.receive(now) if self._monitor is not None else None
        if inventory is not None:
            self._pause = FIRST_PAUSE
            self._publish(inventory)
        if self._monitor is not None and self._monitor.fileno() is None:
            self._forget()

    def _publish(self, inventory: Inventory) -> None:
        self._last = inventory
        self._on_inventory(inventory)

    def _forget(self) -> None:
        if self._fd is not None:
            self._loop.forget(self._fd)
            self._fd = None
