"""NVIDIA's driver library as a stub: the real Python bindings run on it without a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("fakenvml.c")
FLAGS = ["-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread"]

#: Numbers of NVML's errors, for the state file.
UNINITIALIZED, NO_DRIVER, GPU_IS_LOST, UNKNOWN = 1, 9, 15, 999


def build(folder: Path) -> Path:
    """Compile the library into ``folder``; skips the test where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = folder / "libnvidia-ml.so.1"
    soname = "-Wl,-soname,libnvidia-ml.so.1"
    subprocess.run([compiler, *FLAGS, soname, "-o", library, SOURCE], check=True)
    return library


class FakeDriver:
    """What the stub shows: a text file that it reads again at every call."""

    def __init__(self, state: Path) -> None:
        self.path = state
        self.show()

    def show(self, *lines: str) -> None:
        """Show this from the next call on."""
        new = self.path.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in ("driver 580.65.06", *lines)))
        new.rename(self.path)

    def environment(self, library: Path) -> dict[str, str]:
        """What a process needs to use the stub."""
        return {
            "FAKE_NVML_STATE": str(self.path),
            "LD_LIBRARY_PATH": str(library.parent),
            "PATH": os.environ.get("PATH", ""),
        }


def gpu(uuid: str, total: int, used: int = 0, error: int = 0, name: str = "NVIDIA H200") -> str:
    """The line of one GPU."""
    return f"gpu {uuid} {total} {used} 0 40 {error} {name}"


def capability(index: int, major: int, minor: int) -> str:
    """The line of a GPU's compute capability."""
    return f"cap {index} {major} {minor}"


def level(one: int, other: int, common: int) -> str:
    """The line of the nearest thing above two GPUs, as in nvmlGpuTopologyLevel_t."""
    return f"topo {one} {other} {common}"


def nvlink(index: int, number: int, bus: int, *, switch: bool = False) -> str:
    """The line of one NVLink, which ends at the PCI bus of a GPU (16 and its index) or a switch."""
    return f"nvlink {index} {number} {bus} {2 if switch else 0}"
