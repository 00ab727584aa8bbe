"""A GPU as the scheduler knows it. Memory is in MiB everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of this machine, remembered by ``uuid``; ``index`` is its place in PCI order.

    ``outside`` is the memory that processes outside mgpu use on it. ``available`` is False while
    nothing may be started on it; ``note`` then says why.
    """

    uuid: str
    index: int
    name: str
    total: int
    outside: int = 0
    available: bool = True
    note: str = ""


class Inventory(NamedTuple):
    """All GPUs at one moment and where the knowledge comes from (``nvml`` or ``simulated``)."""

    backend: str
    gpus: tuple[Gpu, ...]
