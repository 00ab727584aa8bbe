"""What outlives a monitor: its successor is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from mgpu.model.gpu import Gpu


class Told(NamedTuple):
    """What a simulated GPU was told to be.

    ``used`` is the memory (MiB) in use beside that of ``processes`` (pid, MiB), -1 for what is
    configured. With a ``note`` it is not available because of that. With ``hang`` it does not
    answer. ``utilization`` is -1 where that is not known.
    """

    used: int = -1
    fault: str = ""
    note: str = ""
    hang: bool = False
    processes: tuple[tuple[int, int], ...] = ()
    utilization: int = -1


@dataclass(slots=True)
class Memory:
    """The GPUs that were seen last, and the PCI address of each by the driver's number.

    ``skipped`` are the numbers of GPUs about which nothing may be asked for now, and why.
    """

    gpus: tuple[Gpu, ...] = ()
    slots: dict[int, str] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)
    told: dict[int, Told] = field(default_factory=dict)
