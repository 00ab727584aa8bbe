"""Monitors of GPUs as the scheduler's loop uses them."""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mgpu.gpus.base import Monitor
from mgpu.model.gpu import NOTHING_READ, Gpu, Inventory
from mgpu.model.time import Now
from mgpu.system import clock
from tests.lib.fakenvml import gpu
from tests.lib.waiting import eventually

NOW = Now(1_700_000_000.0, 1000.0)
SIMULATED = [{"name": "Sim A", "memory": 16384, "count": 2, "used": 100}]
TWO = (gpu("GPU-a", 143771, 1024), gpu("GPU-b", 24564, name="NVIDIA L4"))

Open = Callable[..., Monitor]


def later(seconds: float) -> Now:
    """``NOW`` and some seconds."""
    return Now(NOW.wall + seconds, NOW.boot + seconds)


def settings(backend: str, simulated: list[dict[str, Any]] = SIMULATED) -> dict[str, Any]:
    """What a monitor wants to know."""
    return {
        "gpus.backend": backend,
        "gpus.simulated": simulated,
        "gpus.poll_interval": 0.1,
        "paths.cgroup": "mgpu",
    }


def next_from(monitor: Monitor, now: Now = NOW) -> Inventory:
    """The next inventory, waiting for it as the scheduler's loop does."""

    def look() -> Inventory | None:
        fd = monitor.fileno()
        if fd is not None:
            select.select([fd], [], [], 0.5)
        return monitor.receive(now)

    found = eventually(look, what="an inventory", timeout=60)
    assert found is not None
    return found


def ask(monitor: Monitor, leaders: dict[int, int] | None = None) -> Inventory:
    """What a monitor process sees from now on: what was on its way already is left aside."""
    before = clock.now().boot
    monitor.request(NOW, leaders or {})
    return until(monitor, lambda seen: seen.taken > before)


def until(monitor: Monitor, true: Callable[[Inventory], object]) -> Inventory:
    """The first inventory of which ``true`` is."""
    return eventually(lambda: next_from(monitor), until=true, what="such an inventory")


def without_readings(inventory: Inventory) -> list[Gpu]:
    """What two looks at an idle machine have in common."""
    return [replace(one, reading=NOTHING_READ) for one in inventory.gpus]
