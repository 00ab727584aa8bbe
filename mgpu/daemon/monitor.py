"""Keeps a GPU monitor going: hears its news, replaces one that hangs or dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mgpu.daemon.loop import Loop
from mgpu.gpus import base, link
from mgpu.gpus.memory import Memory
from mgpu.gpus.page import Call
from mgpu.gpus.simulated import SimulatedMonitor
from mgpu.model.gpu import Inventory
from mgpu.model.time import Now
from mgpu.system.log import log

#: Seconds before a monitor that failed is replaced; doubled up to the last.
FIRST_PAUSE = 1.0
LAST_PAUSE = 60.0


class Watch:
    """Calls ``on_inventory`` with each new inventory, also with "none may be used" after a hang.

    Until something is known of the GPUs it says nothing, but for at most ``link.START_LIMIT``.

    ``leaders`` tells the first process and the supervisor of each job, so that the monitor knows
    ours. A GPU in whose calls monitors hang is left out by their successors until it answers again.
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
        self._memory = Memory()
        self._monitor: base.Monitor | None = None
        self._fd: int | None = None
        self._last = Inventory("none", ())
        self._pause = FIRST_PAUSE
        self._restart_at: float | None = None
        self._news_at: float | None = None
        self._crash: Call | None = None
        self._told: dict[int, int] = {}
        self._silent = True
        self._silence_ends: float | None = None

    def start(self, now: Now) -> None:
        """Open the monitor that is configured."""
        self._restart_at = None
        if self._silence_ends is None:
            self._silence_ends = now.boot + link.START_LIMIT
        self._monitor = link.open_monitor(self._settings, now, self._memory)
        self._fd = self._monitor.fileno()
        if self._fd is not None:
            self._loop.watch(self._fd, lambda _mask, at: self._hear(at))
        self._told = {}
        self._hear(now)

    def look(self, now: Now) -> None:
        """Something was done about jobs: ask for news now. They come in a later turn."""
        if self._monitor is not None:
            self._told = self._leaders()
            self._monitor.request(now, self._told)
            if self._fd is None:
                self._news_at = now.boot

    def tell(self, index: int, now: Now, **facts: Any) -> bool:
        """Have a simulated GPU be like that; False where GPUs are not simulated.

        ``facts`` are fields of :class:`mgpu.gpus.memory.Told`. The news come in a later turn.
        """
        if not isinstance(self._monitor, SimulatedMonitor):
            return False
        self._monitor.tell(index, now, **facts)
        self.look(now)
        return True

    def forgive(self, uuid: str, now: Now) -> None:
        """Somebody has repaired a GPU: forget its fault, and see whether it has another one."""
        if self._monitor is not None:
            self._monitor.forgive(uuid)
            self.look(now)

    def stop(self) -> None:
        """End the monitor."""
        if self._monitor is not None:
            self._forget()
            self._monitor.close()
            self._monitor = None

    def deadlines(self) -> Iterator[float | None]:
        """Boot times at which :meth:`expire` has something to do."""
        yield self._restart_at
        yield self._news_at
        yield self._silence_ends if self._silent else None
        if self._monitor is not None:
            yield self._monitor.deadline()
            yield None if self._told == self._leaders() else 0.0

    def expire(self, now: Now) -> None:
        """Replace a monitor that hangs or has died; meanwhile no GPU is given out.

        One that does not know of a job that runs, or knows of one that does not, is told.
        """
        if self._restart_at is not None and now.boot >= self._restart_at:
            self.start(now)
        if self._news_at is not None and now.boot >= self._news_at:
            self._news_at = None
            self._hear(now)
        if self._told != self._leaders():
            self.look(now)
        if self._silent and self._silence_ends is not None and now.boot >= self._silence_ends:
            log.error("nothing is known of the GPUs: jobs wait for them", action="gpus-unknown")
            self._publish(self._last)
        if self._monitor is not None and self._monitor.expired(now):
            monitor = self._monitor
            self.stop()
            self._replace(monitor.failure(), now)

    def _replace(self, failure: base.Failure, now: Now) -> None:
        if failure.kind == "replaced":
            log.info("The GPU driver's library was replaced", action="driver-replaced")
            self._restart_at = now.boot
            note = "the GPU driver was replaced and is asked anew"
        else:
            self._blame(failure)
            self._restart_at = now.boot + self._pause
            self._pause = min(LAST_PAUSE, self._pause * 2)
            note = "the GPU driver does not answer"
        if not self._silent:
            self._publish(base.unavailable(self._last, note))

    def _blame(self, failure: base.Failure) -> None:
        """Say what was wrong, and whether it was one GPU: a crash must be seen twice for that."""
        call, crash = failure.call, self._crash
        self._crash = call if failure.kind == "died" else None
        if call is None or call.slot < 0 or (failure.kind == "died" and call != crash):
            log.error("the GPU monitor does not answer", action="monitor-lost", how=failure.kind)
            return
        slot, function = call
        why = "does not answer" if failure.kind == "hung" else "fails"
        self._memory.skipped[slot] = f"the GPU driver {why} when asked about it ({function})"
        log.error("a GPU does not answer", action="gpu-hangs", number=slot, function=function)

    def _hear(self, now: Now) -> None:
        inventory = self._monitor.receive(now) if self._monitor is not None else None
        if inventory is not None:
            self._pause = FIRST_PAUSE
            self._publish(inventory)
        if self._monitor is not None and self._monitor.fileno() is None:
            self._forget()
            self._stay_simulated(inventory, now)

    def _stay_simulated(self, inventory: Inventory | None, now: Now) -> None:
        """The driver was looked for and is not there: from now on that is not done again."""
        found = inventory is not None and inventory.backend == "simulated"
        if found and not isinstance(self._monitor, SimulatedMonitor):
            self.stop()
            self._settings = {**self._settings, "gpus.backend": "simulated"}
            self.start(now)

    def _publish(self, inventory: Inventory) -> None:
        if inventory.hidden and not self._last.hidden:
            text = "/proc does not show the processes of others: whose those on GPUs are is unknown"
            log.warning(text, action="processes-hidden", remedy="mgpu_ctl doctor")
        self._last, self._silent = inventory, False
        self._on_inventory(inventory)

    def _forget(self) -> None:
        if self._fd is not None:
            self._loop.forget(self._fd)
            self._fd = None
