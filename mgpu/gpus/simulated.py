"""GPUs that do not exist, from the configuration. No process, no descriptor, no wake-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mgpu.gpus.base import Leaders
from mgpu.model.gpu import Gpu, Inventory, Link, Topology
from mgpu.model.time import Now

#: What GPUs can have in common, the best link first.
_GROUPS: Final = {"nvlink": Link.NVLINK, "switch": Link.SWITCH, "numa": Link.NUMA}


def inventory_of(tables: Sequence[Mapping[str, Any]]) -> Inventory:
    """The GPUs that ``gpus.simulated`` describes."""
    each = list(_each(tables))
    gpus = [_gpu(index, table) for index, table in enumerate(each)]
    return Inventory("simulated", tuple(gpus), topology_of(each))


def topology_of(tables: Sequence[Mapping[str, Any]]) -> Topology:
    """How GPUs reach each other: those that name the same NVLink domain, switch or node do."""
    each = list(enumerate(tables))
    return tuple(
        tuple(Link.SELF if one == other else _link(first, second) for other, second in each)
        for one, first in each
    )


def _link(one: Mapping[str, Any], other: Mapping[str, Any]) -> Link:
    for name, link in _GROUPS.items():
        if one.get(name) is not None and one.get(name) == other.get(name):
            return link
    return Link.SYSTEM


def _each(tables: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for table in tables:
        yield from [table] * table["count"]


def _gpu(index: int, table: Mapping[str, Any]) -> Gpu:
    uuid = f"GPU-51500000-0000-4000-8000-{index:012x}"
    used = min(table["used"], table["memory"])
    major, minor = table.get("capability") or (0, 0)
    shape = {"used": used, "capability": (major, minor), "minor": index}
    return Gpu(uuid, index, table["name"], table["memory"], used, **shape)


class SimulatedMonitor:
    """See :class:`mgpu.gpus.base.Monitor`. It has one piece of news, and repeats it when asked."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._asked = True

    def fileno(self) -> int | None:
        """None: what does not exist does not change."""
        return None

    def request(self, now: Now, leaders: Leaders) -> None:
        """Have the inventory received once more."""
        self._asked = True

    def receive(self, now: Now) -> Inventory | None:
        """The inventory, once after each request and at first."""
        asked, self._asked = self._asked, False
        return self._inventory if asked else None

    def deadline(self) -> float | None:
        """None: it cannot hang."""
        return None

    def expired(self, now: Now) -> bool:
        """False: it cannot die."""
        return False

    def close(self) -> None:
        """Nothing to end."""
