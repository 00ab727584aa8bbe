"""What does not change about the machine's GPUs: which of them suit a job, and their links."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from mgpu.core.topology import Links, links_of
from mgpu.model.gpu import Gpu, Topology, is_of_type
from mgpu.model.units import format_capability


class Wants(NamedTuple):
    """Which GPUs a job may have at all: as in :class:`mgpu.model.job.JobSpec`."""

    type: str = ""
    uuids: tuple[str, ...] = ()
    min_total: int = 0
    capability: tuple[int, int] = (0, 0)


#: What most jobs want.
ANY: Final = Wants()


def suits(gpu: Gpu, wants: Wants) -> bool:
    """Whether a job may have this GPU, whoever else is on it."""
    if wants.uuids and gpu.uuid not in wants.uuids:
        return False
    if gpu.total < wants.min_total or gpu.capability < wants.capability:
        return False
    return is_of_type(gpu.name, wants.type)


def describe_unfit(gpu: Gpu, wants: Wants) -> str:
    """What a GPU lacks: ``has 16384 MiB in all``; nothing where it suits."""
    if wants.uuids and gpu.uuid not in wants.uuids:
        return "was not asked for"
    if not is_of_type(gpu.name, wants.type):
        return f"is {gpu.name}"
    if gpu.capability < wants.capability:
        return f"has capability {format_capability(gpu.capability)}"
    return f"has {gpu.total} in all" if gpu.total < wants.min_total else ""


def counted(gpus: int) -> str:
    """``1 GPU`` or ``4 GPUs``."""
    return "1 GPU" if gpus == 1 else f"{gpus} GPUs"


def described(wants: Wants) -> str:
    """What a job wants, to be put behind the number of its GPUs; nothing where it takes any."""
    words = " of those it names" if wants.uuids else ""
    if wants.type:
        words += f" of type {wants.type}"
    if wants.min_total:
        words += f" of {wants.min_total} MiB or more"
    if wants.capability > (0, 0):
        words += f" of capability {format_capability(wants.capability)} or more"
    return words


class Machine:
    """The GPUs of one inventory. Which of them suit a job is found out once for each want."""

    def __init__(self, gpus: Iterable[Gpu] = (), topology: Topology = ()) -> None:
        self._gpus = tuple(gpus)
        self._suiting: dict[Wants, frozenset[str]] = {}
        self.links: Links | None = None
        if all(gpu.index < len(topology) for gpu in self._gpus):
            self.links = links_of(topology, len(topology))

    def suiting(self, wants: Wants) -> frozenset[str]:
        """The UUIDs of the GPUs that a job may have."""
        known = self._suiting.get(wants)
        if known is None:
            known = frozenset(gpu.uuid for gpu in self._gpus if suits(gpu, wants))
            self._suiting[wants] = known
        return known


NO_MACHINE: Final = Machine()
