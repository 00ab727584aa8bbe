"""A GPU as the scheduler knows it. Memory is in MiB everywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple


class Process(NamedTuple):
    """A process that uses a GPU. ``memory`` is -1 where the driver does not tell.

    ``uid`` is -1 when it was gone before it was looked at. ``job`` is the job whose tree it
    belongs to, 0 for a process outside mgpu. It began at ``ticks`` (see proc(5), starttime), which
    is the Unix time ``since``; both are 0 where that is not known.
    """

    pid: int
    memory: int
    uid: int
    job: int
    ticks: int = 0
    since: float = 0.0


class Reading(NamedTuple):
    """What changes all the time and decides nothing; -1 where the driver does not tell.

    Percent of the last sampling period in which anything ran, degrees Celsius, watts.
    """

    utilization: int = -1
    temperature: int = -1
    power: int = -1
    power_limit: int = -1


NOTHING_READ: Final = Reading()

#: How a GPU is: given out, or why it is not.
AVAILABLE: Final = "available"
UNKNOWN: Final = "unknown"  # the driver does not answer for it
FAULTY: Final = "fault"
DRAINED: Final = "drained"
RESTRICTED: Final = "restricted"  # not among those that mgpu may use
CLEANING: Final = "cleaning"
DIRTY: Final = "dirty"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of this machine, remembered by ``uuid``; ``index`` is its place in PCI order.

    ``total`` is what programs can have of it, ``used`` what all use of it, ``outside`` what the
    driver tells of processes outside mgpu; ``processes`` are the largest of all. ``available`` is
    False while nothing may be started on it; ``note`` then says why. ``capability`` is CUDA's
    (major, minor), (0, 0) where it is not known. ``bus`` is the PCI address, ``minor`` the number
    of its device node (-1: not known). A MIG instance is a GPU of its own whose ``card`` is the
    UUID of the GPU that it is a part of; ``capabilities`` are the minors of the nodes that are to
    be opened for it besides (-1: not known).

    ``measured`` is what the processes of each job use, as (job, MiB); where the driver does not
    tell of one of them, nothing is told of its job, which is among the ``untold`` then (0: of
    processes outside mgpu). ``told`` is False where it does not say who uses the GPU. ``fault`` is
    the last error that the hardware reported and that only a reset repairs.

    The scheduler makes of ``outside`` all that its holders do not use, as far as can be known, and
    adds: ``foreign``, the part of ``outside`` for which the GPU counts as taken,
    ``cleaning``, True while the last job is not known to be gone (``note`` then says why), and
    ``state``, one of the words above.
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
    capability: tuple[int, int] = (0, 0)
    bus: str = ""
    minor: int = -1
    card: str = ""
    measured: tuple[tuple[int, int], ...] = ()
    fault: str = ""
    foreign: int = 0
    cleaning: bool = False
    reading: Reading = NOTHING_READ
    state: str = AVAILABLE
    told: bool = True
    untold: tuple[int, ...] = ()
    capabilities: tuple[int, ...] = ()


class Link(IntEnum):
    """How two GPUs reach each other; the higher, the better.

    The classes of ``nvidia-smi topo -m``: SYS is SYSTEM, NODE and PHB are NUMA, PXB and PIX are
    SWITCH, NV# is NVLINK.
    """

    SYSTEM = 1
    NUMA = 2
    SWITCH = 3
    NVLINK = 4
    SELF = 5


#: How each GPU reaches each other one, by index; empty where that is not known.
Topology = tuple[tuple[int, ...], ...]


class Inventory(NamedTuple):
    """All GPUs at one moment and where the knowledge comes from (``nvml`` or ``simulated``).

    ``driver`` is the driver's version. ``taken`` is when the driver was asked (boot time).
    ``hidden``: the kernel does not show the processes of others, so nobody knows whose they are.
    """

    backend: str
    gpus: tuple[Gpu, ...]
    topology: Topology = ()
    driver: str = ""
    taken: float = 0.0
    hidden: bool = False


def is_of_type(name: str, wanted: str) -> bool:
    """Whether ``wanted`` names whole words of a GPU's ``name``, whatever stands between them.

    ``a100``, ``A100-SXM4`` and ``nvidia_a100`` are found in ``NVIDIA A100-SXM4-80GB``; ``a10`` is
    not.
    """
    sought = "".join(_words(wanted))
    words = _words(name)
    ends = range(1, len(words) + 1)
    return any("".join(words[i:j]) == sought for j in ends for i in range(j)) if sought else True


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
