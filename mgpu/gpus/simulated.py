"""GPUs that do not exist, from the configuration. No process, no descriptor, no wake-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf, nextafter
from typing import Any, Final

from mgpu.gpus.base import (
    ANSWER_LIMIT,
    Failure,
    Leaders,
    accounted,
    nothing_known,
)
from mgpu.gpus.memory import Memory, Told
from mgpu.gpus.owners import Owners
from mgpu.gpus.page import Call
from mgpu.model.gpu import Gpu, Inventory, Link, Reading, Topology
from mgpu.model.time import Now

#: What GPUs can have in common, the best link first.
_GROUPS: Final = {"nvlink": Link.NVLINK, "switch": Link.SWITCH, "numa": Link.NUMA}


def inventory_of(tables: Sequence[Mapping[str, Any]]) -> Inventory:
    """The GPUs that ``gpus.simulated`` describes."""
    each = list(_each(tables))
    gpus = [_gpu(index, table) for index, table in enumerate(each)]
    return Inventory("simulated", tuple(gpus), _topology_of(each))


def _topology_of(tables: Sequence[Mapping[str, Any]]) -> Topology:
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
    used = min(table["used"], table["memory"])
    major, minor = table.get("capability") or (0, 0)
    return Gpu(
        f"GPU-51500000-0000-4000-8000-{index:012x}",
        index,
        table["name"],
        table["memory"],
        used=used,
        capability=(major, minor),
        bus=f"51500000:{index:02X}:00.0",
        minor=index,
    )


class SimulatedMonitor:
    """See :class:`mgpu.gpus.base.Monitor`. Its news are what it is told, repeated when asked."""

    def __init__(self, settings: Mapping[str, Any], now: Now, memory: Memory) -> None:
        self._inventory = inventory_of(settings["gpus.simulated"])
        self._owners = Owners(settings["paths.cgroup"])
        self._leaders: Leaders = {}
        self._memory = memory
        self._asked = True
        self._deadline: float | None = None
        self._expect(now)

    def fileno(self) -> int | None:
        """None: what does not exist does not change."""
        return None

    def request(self, now: Now, leaders: Leaders) -> None:
        """Have the inventory received once more."""
        self._leaders = leaders
        self._asked = True

    def receive(self, now: Now) -> Inventory | None:
        """The inventory, once after each request and at first; none while a GPU hangs."""
        if self._deadline is not None or not self._asked:
            return None
        self._asked = False
        self._owners.look(self._leaders)
        gpus = tuple(map(self._told, self._inventory.gpus))
        # What is asked for at an instant is seen after all that happened at it.
        taken, hidden = nextafter(now.boot, inf), self._owners.hidden
        return self._inventory._replace(gpus=gpus, taken=taken, hidden=hidden)

    def deadline(self) -> float | None:
        """The boot time from which :meth:`expired` is true: none but when a GPU hangs."""
        return self._deadline

    def expired(self, now: Now) -> bool:
        """Whether a GPU has been told to hang, long enough ago."""
        return self._deadline is not None and now.boot >= self._deadline

    def forgive(self, uuid: str) -> None:
        """Forget the fault of a GPU."""
        for gpu in self._inventory.gpus:
            if gpu.uuid == uuid and gpu.index in self._memory.told:
                told = self._memory.told[gpu.index]
                self._memory.told[gpu.index] = told._replace(fault="")

    def tell(self, index: int, now: Now, **facts: Any) -> None:
        """Have a GPU be like that from now on; see :class:`mgpu.gpus.memory.Told`."""
        told = self._memory.told.get(index, Told())._replace(**facts)
        self._memory.told[index] = told
        if not told.hang:
            self._memory.skipped.pop(index, None)
        self._asked = True
        self._expect(now)

    def close(self) -> None:
        """Nothing to end."""

    def failure(self) -> Failure:
        """The first GPU that hangs."""
        hanging = self._hanging()
        return Failure("hung", Call(hanging[0], "simulated call") if hanging else None)

    def _expect(self, now: Now) -> None:
        if not self._hanging():
            self._deadline = None
        elif self._deadline is None:
            self._deadline = now.boot + ANSWER_LIMIT

    def _hanging(self) -> list[int]:
        told = self._memory.told.items()
        return [index for index, one in told if one.hang and index not in self._memory.skipped]

    def _told(self, gpu: Gpu) -> Gpu:
        told = self._memory.told.get(gpu.index, Told())
        why = self._memory.skipped.get(gpu.index, told.note)
        if why:
            return replace(nothing_known(gpu, why), fault=told.fault)
        processes = self._owners.processes(told.processes)
        others = gpu.used if told.used < 0 else min(told.used, gpu.total)
        used = min(gpu.total, others + sum(memory for _, memory in told.processes))
        known = accounted(gpu, used, processes)
        return replace(known, fault=told.fault, reading=Reading(told.utilization))
