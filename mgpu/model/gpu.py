"""A GPU as the scheduler knows it. Memory is in MiB everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Process(NamedTuple):
    """A process that uses a GPU. ``memory`` is -1 where the driver does not tell.

    ``uid`` is -1 when it was gone before it was looked at. ``job`` is the job whose tree it
    belongs to, 0 for a process outside mgpu.
    """

    pid: int
    memory: int
    uid: int
    job: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of this machine, remembered by ``uuid``; ``index`` is its place in PCI order.

    ``total`` is what programs can have of it. ``outside`` is the memory that processes outside
    mgpu use, ``used`` what all use; ``processes`` are the largest of them. ``available`` is False
    while nothing may be started on it; ``note`` then says why.
    """

    uuid: str
    index: int
    name: str
    total: int
    outside: int = 0
    available: bool = True
    note: str = ""
    used: int = 0
    processes: tuple[Process, ...] = ()


class Inventory(NamedTuple):
    """All GPUs at one moment and where the knowledge comes from (``nvml`` or ``simulated``)."""

    backend: str
    gpus: tuple[Gpu, ...]
