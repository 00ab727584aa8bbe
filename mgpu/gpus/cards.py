"""What the driver tells of one GPU, and of the instances that a GPU in MIG mode is cut into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import pynvml

from mgpu.gpus.base import accounted
from mgpu.gpus.driver import ABSENT, Driver
from mgpu.gpus.owners import Owners
from mgpu.model.gpu import Gpu, Process, Reading

_MIB: Final = 1 << 20
_PROCESSES: Final = (
    ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"),
    ("nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2"),
)
#: Which capability node is for what, one a line: ``gpu0/gi1/ci0/access 13``.
_MINORS: Final = Path("/proc/driver/nvidia-caps/mig-minors")


class Card(NamedTuple):
    """A GPU as it is plugged in: what does not change about it."""

    handle: Any
    gpu: Gpu


def identify(driver: Driver, slot: int, known: Gpu | None) -> Card:
    """The GPU with this number; ``known`` is what was found out about it before."""
    handle = driver("nvmlDeviceGetHandleByIndex", slot)
    uuid = _text(driver("nvmlDeviceGetUUID", handle))
    bus = _text(driver("nvmlDeviceGetPciInfo_v3", handle).busId)
    if known is not None and (known.uuid, known.bus) == (uuid, bus):
        return Card(handle, known)
    name = _text(driver("nvmlDeviceGetName", handle))
    major, minor = driver.maybe((0, 0), "nvmlDeviceGetCudaComputeCapability", handle)
    node = driver.maybe(-1, "nvmlDeviceGetMinorNumber", handle)
    gpu = Gpu(uuid, 0, name, 0, capability=(major, minor), bus=bus, minor=node)
    return Card(handle, gpu)


def measure(driver: Driver, card: Card, owners: Owners) -> list[Gpu]:
    """The GPU as it is now; in MIG mode its instances, each a GPU of its own."""
    if (
        driver.maybe((0, 0), "nvmlDeviceGetMigMode", card.handle)[0]
        != pynvml.NVML_DEVICE_MIG_ENABLE
    ):
        whole = _use(driver, card, owners)
        return [replace(whole, reading=_reading(driver, card.handle))]
    return [_use(driver, part, owners) for part in _instances(driver, card)]


def _instances(driver: Driver, card: Card) -> Iterator[Card]:
    for number in range(driver("nvmlDeviceGetMaxMigDeviceCount", card.handle)):
        try:
            handle = driver("nvmlDeviceGetMigDeviceHandleByIndex", card.handle, number)
        except pynvml.NVMLError_NotFound:
            continue
        uuid = _text(driver("nvmlDeviceGetUUID", handle))
        name = _instance_name(driver, handle)
        part = replace(card.gpu, uuid=uuid, name=name, card=card.gpu.uuid)
        yield Card(handle, replace(part, capabilities=_capabilities(driver, handle, part.minor)))


def _capabilities(driver: Driver, handle: Any, card: int) -> tuple[int, int]:
    """The minors of the nodes of an instance: of its GPU instance and of its compute instance."""
    whole = driver.maybe(-1, "nvmlDeviceGetGpuInstanceId", handle)
    part = driver.maybe(-1, "nvmlDeviceGetComputeInstanceId", handle)
    place = f"gpu{card}/gi{whole}"
    return _minors().get(f"{place}/access", -1), _minors().get(f"{place}/ci{part}/access", -1)


@cache
def _minors() -> dict[str, int]:
    """The driver's list; it is the same as long as the driver is."""
    try:
        lines = _MINORS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _instance_name(driver: Driver, handle: Any) -> str:
    """With the profile in it, which drivers before 470 leave out."""
    name = _text(driver("nvmlDeviceGetName", handle))
    if " MIG " in name:
        return name
    shape = driver("nvmlDeviceGetAttributes_v2", handle)
    whole, part = shape.gpuInstanceSliceCount, shape.computeInstanceSliceCount
    compute = "" if part == whole else f"{part}c."
    return f"{name} MIG {compute}{whole}g.{-(-shape.memorySizeMB // 1024)}gb"


def _use(driver: Driver, card: Card, owners: Owners) -> Gpu:
    total, used = _memory(driver, card.handle)
    processes = _processes(driver, card.handle, owners)
    return accounted(replace(card.gpu, total=total), used, processes)


def _memory(driver: Driver, handle: Any) -> tuple[int, int]:
    """What programs can have and what they have, without what the driver keeps for itself."""
    try:
        info = driver("nvmlDeviceGetMemoryInfo", handle, version=pynvml.nvmlMemory_v2)
        return (info.total - info.reserved) // _MIB, -(-info.used // _MIB)
    except ABSENT:
        info = driver("nvmlDeviceGetMemoryInfo", handle)
        return info.total // _MIB, -(-info.used // _MIB)


def _processes(driver: Driver, handle: Any, owners: Owners) -> list[Process] | None:
    """Those that compute and draw; None where driver or kernel do not tell who computes."""
    lists = [driver.first(*functions, of=handle) for functions in _PROCESSES]
    if lists[0] is None:
        return None
    found: dict[int, int] = {}
    for entry in chain.from_iterable(entries or () for entries in lists):
        found[entry.pid] = max(found.get(entry.pid, -1), _mib(entry.usedGpuMemory))
    return owners.processes(found.items())


def _mib(size: int | None) -> int:
    return -1 if size is None else -(-size // _MIB)


def _reading(driver: Driver, handle: Any) -> Reading:
    rates = driver.maybe(None, "nvmlDeviceGetUtilizationRates", handle)
    degrees = driver.maybe(-1, "nvmlDeviceGetTemperature", handle, pynvml.NVML_TEMPERATURE_GPU)
    power = driver.maybe(None, "nvmlDeviceGetPowerUsage", handle)
    limit = driver.maybe(None, "nvmlDeviceGetEnforcedPowerLimit", handle)
    return Reading(-1 if rates is None else rates.gpu, degrees, _watts(power), _watts(limit))


def _watts(milliwatts: int | None) -> int:
    return -1 if milliwatts is None else round(milliwatts / 1000)


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
