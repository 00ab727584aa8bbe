"""What the scheduler sees of the GPUs: a monitor that it can wait for and must not trust to answer.

Every monitor passes ``tests/contract/test_gpus.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import Final, NamedTuple, Protocol

from mgpu.gpus.page import Call
from mgpu.model.gpu import NOTHING_READ, Gpu, Inventory, Process, Reading
from mgpu.model.time import Now

#: Processes of one GPU that are reported, the largest first.
MAX_PROCESSES: Final = 32

#: An answer later than this (seconds) is a hang.
ANSWER_LIMIT: Final = 10.0

Leaders = Mapping[int, int]


class Failure(NamedTuple):
    """How a monitor ended: ``hung``, ``died``, or ``replaced`` as the driver's library was.

    ``call`` is what it was asking then, if anything.
    """

    kind: str
    call: Call | None = None


class Monitor(Protocol):
    """Where inventories come from. No method waits for the driver."""

    def fileno(self) -> int | None:
        """The descriptor that becomes readable with news; None when there will be none."""
        ...

    def request(self, now: Now, leaders: Leaders) -> None:
        """Ask for news soon. ``leaders`` maps first processes and supervisors to their jobs."""
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

    def forgive(self, uuid: str) -> None:
        """Forget the fault of a GPU: somebody has repaired it."""
        ...

    def close(self) -> None:
        """End it; one that cannot be ended is left behind."""
        ...

    def failure(self) -> Failure:
        """Why it had expired; to be asked when it is closed."""
        ...


def nothing_known(gpu: Gpu, note: str) -> Gpu:
    """A GPU that cannot be asked, because of ``note``: that it is there is all that is known."""
    return replace(
        gpu,
        available=False,
        note=note,
        used=0,
        outside=0,
        processes=(),
        measured=(),
        told=True,
        untold=(),
        reading=NOTHING_READ,
    )


def unavailable(inventory: Inventory, note: str) -> Inventory:
    """The same GPUs, none of which may be used, because of ``note``."""
    gpus = tuple(nothing_known(gpu, note) for gpu in inventory.gpus)
    return inventory._replace(gpus=gpus)


def accounted(gpu: Gpu, used: int, processes: list[Process] | None) -> Gpu:
    """The GPU with who uses what of it; ``processes`` is None where the driver tells of none."""
    there = processes or []
    strangers = (process.memory for process in there if not process.job)
    return replace(
        gpu,
        used=used,
        outside=sum(max(0, memory) for memory in strangers),
        processes=largest(there),
        measured=measured(there),
        told=processes is not None,
        untold=_untold(there),
    )


def _untold(processes: list[Process]) -> tuple[int, ...]:
    """The jobs of which the driver does not tell all; 0 for processes outside mgpu."""
    return tuple(sorted({process.job for process in processes if process.memory < 0}))


def largest(processes: list[Process]) -> tuple[Process, ...]:
    """The processes that are reported, in a fixed order: of each job at least the largest."""
    ordered = sorted(processes, key=_by_size)
    jobs = {process.job: process for process in reversed(ordered) if process.job}
    firsts = {process.pid for process in jobs.values()}
    chosen = sorted(ordered, key=lambda process: process.pid not in firsts)[:MAX_PROCESSES]
    return tuple(sorted(chosen, key=_by_size))


def _by_size(process: Process) -> tuple[int, int]:
    return -process.memory, process.pid


def measured(processes: list[Process]) -> tuple[tuple[int, int], ...]:
    """What each job uses, as (job, MiB), but for jobs of which the driver does not tell all."""
    sums: dict[int, int] = {}
    for process in processes:
        if process.job:
            sums[process.job] = sums.get(process.job, 0) + process.memory
    untold = _untold(processes)
    return tuple(sorted((job, total) for job, total in sums.items() if job not in untold))


def pack(gpu: Gpu) -> list[object]:
    """A GPU as plain lists, for a message."""
    return list(astuple(gpu))


def unpack(packed: list[object]) -> Gpu:
    """The GPU that :func:`pack` made plain."""
    gpu = Gpu(*packed)  # type: ignore[arg-type]
    major, minor = gpu.capability
    return replace(
        gpu,
        processes=tuple(Process(*process) for process in gpu.processes),
        capability=(major, minor),
        measured=tuple((job, memory) for job, memory in gpu.measured),
        untold=tuple(gpu.untold),
        capabilities=tuple(gpu.capabilities),
        reading=Reading(*gpu.reading),
    )
