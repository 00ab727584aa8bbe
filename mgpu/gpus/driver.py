"""NVIDIA's library as the monitor calls it: calls are announced, every error is an NVMLError."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any, Final

import pynvml

from mgpu.gpus.page import START, Page
from mgpu.model.units import visible
from mgpu.system import clock

#: Errors that say of a call that this driver or this GPU does not have it.
ABSENT: Final = (
    pynvml.NVMLError_FunctionNotFound,
    pynvml.NVMLError_NotSupported,
    pynvml.NVMLError_NoPermission,
)
#: Errors that say of a GPU that it cannot be used, whichever call they come from.
LOST: Final = (pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_ResetRequired)

_LIBRARY: Final = "libnvidia-ml.so"
_MODULE: Final = Path("/sys/module/nvidia/version")


class Driver:
    """Calls NVML. ``slot`` is the number of the GPU that the next calls are about.

    Each call is announced on ``page``, if there is one. This process dies of a call that takes
    longer than ``limits`` says (seconds; the first is for the start of the driver).
    """

    def __init__(self, page: Page | None = None, limits: tuple[float, float] = (0, 0)) -> None:
        self.slot = -1
        self._page = page
        self._limits = limits
        self._library: tuple[int, int] | None = None
        self._place = ""

    def __call__(self, function: str, *args: Any, **named: Any) -> Any:
        """What ``pynvml.<function>`` says."""
        if self._page is not None:
            self._page.write(self.slot, function, clock.now().boot)
            signal.setitimer(signal.ITIMER_REAL, self._limits[function != START])
        try:
            return getattr(pynvml, function)(*args, **named)
        except pynvml.NVMLError as error:
            error.function = function
            raise
        except (AttributeError, ValueError, OSError) as error:  # the bindings do not know better
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN) from error

    def maybe(self, default: Any, function: str, *args: Any) -> Any:
        """The same for what a GPU can do without: ``default`` unless it is lost altogether."""
        try:
            return self(function, *args)
        except LOST:
            raise
        except pynvml.NVMLError:
            return default

    def first(self, *functions: str, of: Any) -> Any:
        """What the first of ``functions`` that there is says about a handle; None without any."""
        for function in functions:
            try:
                return self(function, of)
            except ABSENT:
                continue
        return None

    def rest(self) -> None:
        """Nothing is asked until the next call."""
        self.slot = -1
        if self._page is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._page.clear()

    def remember(self) -> None:
        """If the library is loaded by now, note which file it is and where it would be found."""
        path = "" if self._library else _mapped()
        if path:
            link = os.path.join(os.path.dirname(path), f"{_LIBRARY}.1")
            self._place = link if os.path.realpath(link) == path else path
            self._library = _identity(path) or (0, 0)

    def replaced(self) -> bool:
        """Whether another library is installed by now than the one that is loaded."""
        return self._library is not None and _identity(self._place) != self._library


def words(error: Exception) -> str:
    """An error of NVML for people."""
    function = getattr(error, "function", "")
    return f"NVML: {visible(str(error))}" + (f" ({function})" if function else "")


def mismatch() -> str:
    """What to do about a library that does not fit the driver that runs."""
    installed = re.search(r"\.so\.(\d+\.\d[\d.]*)", _mapped())
    new = f" to {installed[1]}" if installed else ""
    try:
        old = f" {_MODULE.read_text().strip()}"
    except OSError:
        old = ""
    return (
        f"the driver was upgraded{new} while the old one{old} still runs: "
        "restart the machine or reload the kernel module"
    )


def _mapped() -> str:
    """The path of the library that is loaded, empty without one."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            path = line.rstrip("\n").split(maxsplit=5)[-1]
            if os.path.basename(path).startswith(_LIBRARY):
                return path
    return ""


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
