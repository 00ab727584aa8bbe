"""Errors of the hardware after which a GPU must not be given out until somebody has repaired it.

Xid numbers and what each calls for are those of NVIDIA's catalogue,
https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping
from typing import Any, Final

import pynvml

from mgpu.gpus.driver import Driver

#: What a reset of the GPU, a restart of the machine or its maker must repair. Not among them are
#: errors of applications (such as 13, 31, 43, 45, 68, 94 and 109) and what the hardware has put
#: right (63, 92). What newer drivers add to the catalogue shows in the action that they ask for.
XIDS: Final[Mapping[int, str]] = {
    46: "GPU stopped processing",
    48: "double bit ECC error",
    62: "internal micro-controller halt",
    64: "a bad page or row could not be retired",
    74: "NVLink error",
    79: "fallen off the bus",
    95: "uncontained memory error",
    119: "GSP firmware does not answer",
    120: "GSP firmware error",
    140: "unrecovered ECC error",
    143: "GPU initialization failed",
}

#: What the driver asks for, by NVML_FI_DEV_GET_GPU_RECOVERY_ACTION; the others can wait.
_ACTIONS: Final[Mapping[int, str]] = {
    1: "the driver asks for a reset of the GPU",
    2: "the driver asks for a restart of the machine",
    6: "the driver asks for a reset of the PCIe bus",
    7: "the driver asks for a restart of the machine",
}
_RECOVERY_ACTION: Final = 230
_MAX_EVENTS: Final = 100
_LOST: Final = "fallen off the bus"
_RESET: Final = "needs a reset"


class Faults:
    """What the hardware of each GPU (PCI address) has reported; it stays until it is forgiven.

    ``known`` are the faults that were known before. One that comes after others were forgiven has
    its number behind it: an order about an earlier one says nothing of it.
    """

    def __init__(self, driver: Driver, known: Mapping[str, str]) -> None:
        self._driver = driver
        self._found = dict(known)
        self._forgiven = {bus: _number(text) - 1 for bus, text in known.items()}
        self._states: dict[str, str] = {}
        self._events: Any = None
        self._buses: dict[int, str] = {}

    def of(self, bus: str) -> str:
        """The fault of a GPU, empty without one."""
        return self._found.get(bus, "")

    def forgive(self, bus: str) -> None:
        """Forget what was reported; what is reported from now on counts again."""
        if self._found.pop(bus, None) is not None:
            self._forgiven[bus] = self._forgiven.get(bus, 0) + 1

    def restart(self) -> None:
        """The driver is started anew: events are to be asked for again."""
        self._events = None
        self._buses.clear()

    def hear(self) -> None:
        """Take what has been reported since the last time."""
        try:
            for _ in range(_MAX_EVENTS):
                if self._events is not None:
                    self._take(self._driver("nvmlEventSetWait_v2", self._events, 0))
        except pynvml.NVMLError_Timeout:
            pass
        except pynvml.NVMLError:
            self.restart()

    def look(self, bus: str, handle: Any) -> None:
        """Ask about one GPU, and that its errors be reported from now on."""
        self._register(bus, handle)
        state = self._state(handle)
        if state and state != self._states.get(bus):
            self._found.setdefault(bus, self._numbered(bus, state))
        self._states[bus] = state

    def failed(self, bus: str, error: Exception) -> None:
        """A GPU could not be asked."""
        if isinstance(error, pynvml.NVMLError_GpuIsLost):
            self._found.setdefault(bus, self._numbered(bus, _LOST))
        elif isinstance(error, pynvml.NVMLError_ResetRequired):
            self._found.setdefault(bus, self._numbered(bus, _RESET))

    def _numbered(self, bus: str, text: str) -> str:
        number = self._forgiven.get(bus, 0) + 1
        return text if number == 1 else f"{text} ({number})"

    def _take(self, event: Any) -> None:
        bus = self._buses.get(_address(event.device))
        if event.eventType == pynvml.nvmlEventTypeXidCriticalError:
            number = int(event.eventData)
            if bus is not None and number in XIDS:
                self._found[bus] = self._numbered(bus, f"Xid {number}: {XIDS[number]}")

    def _register(self, bus: str, handle: Any) -> None:
        if self._events is None:
            self._events = self._driver.maybe(None, "nvmlEventSetCreate")
        if self._events is None or self._buses.get(_address(handle)) == bus:
            return
        supported = self._driver.maybe(0, "nvmlDeviceGetSupportedEventTypes", handle)
        wanted = supported & pynvml.nvmlEventTypeXidCriticalError
        if wanted:
            self._driver.maybe(None, "nvmlDeviceRegisterEvents", handle, wanted, self._events)
        self._buses[_address(handle)] = bus

    def _state(self, handle: Any) -> str:
        """What is wrong with a GPU now, also since before anybody listened."""
        rows = self._driver.maybe(None, "nvmlDeviceGetRemappedRows", handle)
        if rows is not None:
            if rows[3]:
                return f"Xid 64: {XIDS[64]}"
        elif self._uncorrected(handle):
            return f"Xid 48: {XIDS[48]}"
        return _ACTIONS.get(self._action(handle), "")

    def _uncorrected(self, handle: Any) -> bool:
        """Since the driver was loaded; only GPUs that cannot remap rows must be reset after it."""
        kinds = (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
        return bool(self._driver.maybe(0, "nvmlDeviceGetTotalEccErrors", handle, *kinds))

    def _action(self, handle: Any) -> int:
        values = self._driver.maybe(None, "nvmlDeviceGetFieldValues", handle, [_RECOVERY_ACTION])
        if not values or values[0].nvmlReturn != pynvml.NVML_SUCCESS:
            return 0
        return int(values[0].value.uiVal)


def _number(text: str) -> int:
    """Which of the faults of its GPU this one is."""
    found = re.search(r" \((\d+)\)$", text)
    return int(found[1]) if found else 1


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
