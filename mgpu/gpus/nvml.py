"""NVIDIA's driver through NVML. Any call here can hang: only the monitor process makes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pynvml

from mgpu.gpus.base import largest, outside_memory
from mgpu.gpus.nvlinks import links
from mgpu.gpus.owners import Owners
from mgpu.model.gpu import Gpu, Link, Process, Topology
from mgpu.model.units import visible

_MIB = 1 << 20


class NvmlError(Exception):
    """NVML cannot be used at all now. ``installed`` tells whether its library is there."""

    def __init__(self, message: str, *, installed: bool) -> None:
        super().__init__(message)
        self.installed = installed


class _Place(NamedTuple):
    """What does not change about a GPU: remembered for the time when it is lost."""

    bus: str
    gpu: Gpu


class Nvml:
    """Reads all GPUs; remembers those that it has seen, so that a lost one is still named."""

    def __init__(self) -> None:
        self._ready = False
        self._known: dict[int, _Place] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._asked: set[str] = set()

    def read(self, owners: Owners) -> tuple[Gpu, ...]:
        """All GPUs in PCI order. One that fails is not available and its note says why.

        Raises :class:`NvmlError` when nothing can be said at all.
        """
        try:
            self._start()
            count: int = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            self._stop()
            return self._all_lost(error)
        gpus = {slot: self._read_one(slot, owners) for slot in range(count)}
        for slot, place in self._known.items():
            gpus.setdefault(slot, _lost(place.gpu, "no longer listed by the driver"))
        return self._in_order(gpus)

    def topology(self, gpus: tuple[Gpu, ...]) -> Topology:
        """How the GPUs just read reach each other. The driver is asked once, when they are well."""
        buses = [self._known[slot].bus for slot in self._slots()]
        well = {bus for bus, gpu in zip(buses, gpus, strict=True) if gpu.available}
        if not well <= self._asked:
            self._links |= links(sorted(well))
            self._asked |= well
        each = list(enumerate(buses))
        return tuple(
            tuple(Link.SELF if i == j else self._links.get((a, b), Link.SYSTEM) for j, b in each)
            for i, a in each
        )

    def _start(self) -> None:
        if not self._ready:
            pynvml.nvmlInit()
            self._ready = True

    def _stop(self) -> None:
        if self._ready:
            self._ready = False
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError:
                pass  # it is started anew in any case

    def _all_lost(self, error: Exception) -> tuple[Gpu, ...]:
        if not self._known:
            missing = isinstance(error, pynvml.NVMLError_LibraryNotFound)
            raise NvmlError(_words(error), installed=not missing) from error
        return self._in_order({s: _lost(p.gpu, _words(error)) for s, p in self._known.items()})

    def _read_one(self, slot: int, owners: Owners) -> Gpu:
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(slot)
            place = _identify(handle)
            self._known[slot] = place
            return _measure(handle, place.gpu, owners)
        except pynvml.NVMLError as error:
            place = self._known.setdefault(slot, _Place("", Gpu(f"GPU-unknown-{slot}", 0, "", 0)))
            return _lost(place.gpu, _words(error))

    def _in_order(self, gpus: dict[int, Gpu]) -> tuple[Gpu, ...]:
        places = enumerate(self._slots())
        return tuple(replace(gpus[slot], index=index) for index, slot in places)

    def _slots(self) -> list[int]:
        """The known GPUs in PCI order."""
        return sorted(self._known, key=lambda slot: (self._known[slot].bus, slot))


def _identify(handle: Any) -> _Place:
    uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
    bus = pynvml.nvmlDeviceGetPciInfo(handle).busId
    total, capability = _memory(handle)[0], _capability(handle)
    return _Place(_text(bus), Gpu(_text(uuid), 0, _text(name), total, capability=capability))


def _capability(handle: Any) -> tuple[int, int]:
    try:
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NotSupported):
        return (0, 0)
    return major, minor


def _measure(handle: Any, gpu: Gpu, owners: Owners) -> Gpu:
    total, used = _memory(handle)
    processes = _processes(handle, owners)
    outside = outside_memory(used, processes)
    return replace(gpu, total=total, used=used, outside=outside, processes=largest(processes))


def _memory(handle: Any) -> tuple[int, int]:
    """What programs can have and what they have, without what the driver keeps for itself."""
    try:
        info = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
        return (info.total - info.reserved) // _MIB, -(-info.used // _MIB)
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NotSupported):
        info = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return info.total // _MIB, -(-info.used // _MIB)


def _processes(handle: Any, owners: Owners) -> list[Process]:
    found: dict[int, int] = {}
    for ask in (
        pynvml.nvmlDeviceGetComputeRunningProcesses,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses,
    ):
        for pid, memory in _listed(ask, handle):
            found[pid] = max(found.get(pid, -1), memory)
    return [owners.process(pid, memory) for pid, memory in found.items()]


def _listed(ask: Any, handle: Any) -> list[tuple[int, int]]:
    try:
        listed = ask(handle)
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NotSupported):
        return []
    return [(entry.pid, _mib(entry.usedGpuMemory)) for entry in listed]


def _mib(size: int | None) -> int:
    return -1 if size is None else -(-size // _MIB)


def _lost(gpu: Gpu, note: str) -> Gpu:
    return replace(gpu, available=False, note=note)


def _words(error: Exception) -> str:
    return f"NVML: {visible(str(error))}"


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
