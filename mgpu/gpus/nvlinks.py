"""How GPUs reach each other, as NVIDIA's driver tells it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import pynvml

from mgpu.gpus.driver import Driver
from mgpu.model.gpu import Link

#: The nearest thing above two GPUs (nvml.h, nvmlGpuTopologyLevel_t): the same board, one PCIe
#: switch, several; then a host bridge, a NUMA node, or only what joins the processors.
_LEVELS: Final = {
    pynvml.NVML_TOPOLOGY_INTERNAL: Link.SWITCH,
    pynvml.NVML_TOPOLOGY_SINGLE: Link.SWITCH,
    pynvml.NVML_TOPOLOGY_MULTIPLE: Link.SWITCH,
    pynvml.NVML_TOPOLOGY_HOSTBRIDGE: Link.NUMA,
    pynvml.NVML_TOPOLOGY_NODE: Link.NUMA,
    pynvml.NVML_TOPOLOGY_SYSTEM: Link.SYSTEM,
}


def links(driver: Driver, buses: Mapping[str, int]) -> dict[tuple[str, str], Link]:
    """The link of each pair of GPUs with these PCI addresses; the values are their numbers."""
    known = {}
    for bus, driver.slot in buses.items():
        known[bus] = _of(driver, bus, buses)
    found = {}
    for one, driver.slot in buses.items():
        for other in buses.keys() - {one}:
            found[one, other] = _link(driver, known[one], known[other])
    return found


class _Ends(NamedTuple):
    """A GPU, None where it is lost, and the GPUs and NVSwitches at the ends of its NVLinks."""

    bus: str
    handle: Any
    gpus: frozenset[str] = frozenset()
    switches: frozenset[str] = frozenset()


def _of(driver: Driver, bus: str, buses: Collection[str]) -> _Ends:
    try:
        handle = driver("nvmlDeviceGetHandleByPciBusId", bus.encode())
    except pynvml.NVMLError:
        return _Ends(bus, None)
    numbers = range(pynvml.NVML_NVLINK_MAX_LINKS)
    ends = [end for number in numbers if (end := _end(driver, handle, number, buses))]
    switches = frozenset(end for end, is_switch in ends if is_switch)
    return _Ends(bus, handle, frozenset(end for end, is_switch in ends if not is_switch), switches)


def _end(
    driver: Driver, handle: Any, number: int, buses: Collection[str]
) -> tuple[str, bool] | None:
    """What is at the end of one NVLink and whether it is a switch; None where nothing is."""
    try:
        if driver("nvmlDeviceGetNvLinkState", handle, number) != pynvml.NVML_FEATURE_ENABLED:
            return None
        bus = driver("nvmlDeviceGetNvLinkRemotePciInfo", handle, number).busId
    except pynvml.NVMLError:
        return None
    name = bus.decode() if isinstance(bus, bytes) else bus
    try:
        kind = driver("nvmlDeviceGetNvLinkRemoteDeviceType", handle, number)
    except pynvml.NVMLError:
        return name, name not in buses
    return name, kind == pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH


def _link(driver: Driver, one: _Ends, other: _Ends) -> Link:
    if other.bus in one.gpus or one.bus in other.gpus or one.switches & other.switches:
        return Link.NVLINK
    try:
        level = driver("nvmlDeviceGetTopologyCommonAncestor", one.handle, other.handle)
    except pynvml.NVMLError:
        return Link.SYSTEM
    return _LEVELS.get(level, Link.SYSTEM)
