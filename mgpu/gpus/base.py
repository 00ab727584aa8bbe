"""What the scheduler sees of the GPUs: a monitor that it can wait for and must not trust to answer.

Every monitor passes ``tests/contract/test_gpus.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import Final, Protocol

from mgpu.model.gpu import Gpu, Inventory, Process, Reading
from mgpu.model.time import Now

#: Processes of one GPU that are reported, the largest first.
MAX_PROCESSES: Final = 32

Leaders = Mapping[int, int]


class Monitor(Protocol):
    """Where inventories come from. No method waits for the driver."""

    def fileno(self) -> int | None:
        """The descriptor that becomes readable with news; None when there will be none."""
        ...

    def request(self, now: Now, leaders: Leaders) -> None:
        """Ask for news soon. ``leaders`` maps the first process of each running job to the job."""
        ...

    def receive(self, now: Now) -> Inventory | None:
        """The newest inventory that has come since the last call, or None."""
        ...

    def deadline(self) -> float | None:
        """The boot time from which :meth:`expired` is true unless news comes before."""
        ...

    def expired(self, now: Now) -> bool:
        """Whether it has died or hangs: what it said last is no longer known to be true."""
        ...

    def close(self) -> None:
        """End it; one that cannot be ended is left behind."""
        ...


def unavailable(inventory: Inventory, note: str) -> Inventory:
    """The same GPUs, none of which may be used, because of ``note``."""
    gpus = tuple(replace(gpu, available=False, note=note) for gpu in inventory.gpus)
    return inventory._replace(gpus=gpus)


def outside_memory(used: int, processes: list[Process]) -> int:
    """How much of ``used`` is not used by jobs.

    Where the driver does not tell how much a process of a job uses, only what it tells of the
    others counts: a job must not be taken for a stranger.
    """
    ours = [process.memory for process in processes if process.job]
    if min(ours, default=0) < 0:
        return sum(max(0, process.memory) for process in processes if not process.job)
    return max(0, used - sum(ours))


def largest(processes: list[Process]) -> tuple[Process, ...]:
    """The processes that are reported, in a fixed order."""
    ordered = sorted(processes, key=lambda process: (-process.memory, process.pid))
    return tuple(ordered[:MAX_PROCESSES])


def pack(inventory: Inventory) -> list[object]:
    """The inventory as plain lists, for a message."""
    gpus = [list(astuple(gpu)) for gpu in inventory.gpus]
    topology = [list(row) for row in inventory.topology]
    return [inventory.backend, gpus, topology, inventory.driver, inventory.taken]


def unpack(packed: tuple[str, list[list[object]], list[list[int]], str, float]) -> Inventory:
    """The inventory that :func:`pack` made plain."""
    backend, gpus, topology, driver, taken = packed
    matrix = tuple(map(tuple, topology))
    return Inventory(backend, tuple(_gpu(*fields) for fields in gpus), matrix, driver, taken)


def _gpu(*fields: object) -> Gpu:
    gpu = Gpu(*fields)  # type: ignore[arg-type]
    major, minor = gpu.capability
    processes = tuple(Process(*process) for process in gpu.processes)
    return replace(
        gpu,
        processes=processes,
        capability=(major, minor),
        measured=tuple((job, memory) for job, memory in gpu.measured),
        reading=Reading(*gpu.reading),
    )
