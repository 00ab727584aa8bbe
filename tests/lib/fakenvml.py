"""NVIDIA's driver library as a stub: the real Python bindings run on it without a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

SOURCE = Path(__file__).with_name("fakenvml.c")
FLAGS = ["-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread"]

#: Numbers of NVML's errors, for the state file.
NOT_SUPPORTED, NO_DRIVER, FUNCTION_NOT_FOUND, GPU_IS_LOST = 3, 9, 13, 15
RESET_REQUIRED, VERSION_MISMATCH, UNKNOWN = 16, 18, 999

#: MiB of each GPU that the driver keeps for itself.
RESERVED = 512


def build(folder: Path, name: str = "libnvidia-ml.so.1") -> Path:
    """Compile the library into ``folder``; skips the test where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SkipTest("no C compiler")
    library = folder / name
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


def gpu(
    uuid: str,
    total: int,
    used: int = 0,
    error: int = 0,
    name: str = "NVIDIA H200",
    utilization: int = 0,
) -> str:
    """The line of one GPU. It has 40 degrees, and 70 W and 4 W for each percent of utilization."""
    return f"gpu {uuid} {total} {used} {utilization} 40 {error} {name}"


def process(index: int, pid: int, memory: int) -> str:
    """The line of a process; ``memory`` is -1 where the driver does not tell."""
    return f"proc {index} {pid} {memory}"


def fail(function: str, index: int, code: int) -> str:
    """The line by which ``nvml<function>`` fails about one GPU (-1: it is about none)."""
    return f"fail nvml{function} {index} {code}"


def hang(function: str, index: int) -> str:
    """The line by which ``nvml<function>`` does not return."""
    return f"hang nvml{function} {index}"


def xid(serial: int, index: int, number: int) -> str:
    """The line of an Xid, which is told once; serials grow."""
    return f"event {serial} {index} 8 {number}"


def health(index: int, *, remap: int = -1, ecc: int = -1, action: int = -1) -> str:
    """The line of what a GPU says about itself: rows not remapped, ECC errors, what to do."""
    return f"health {index} {remap} {ecc} {action}"


def instance(index: int, uuid: str, number: int, total: int, used: int, name: str) -> str:
    """The line of a MIG instance, of one slice of seven."""
    return f"mig {index} {uuid} {number} {total} {used} 1 1 {name}"


def capability(index: int, major: int, minor: int) -> str:
    """The line of a GPU's compute capability."""
    return f"cap {index} {major} {minor}"


def level(one: int, other: int, common: int) -> str:
    """The line of the nearest thing above two GPUs, as in nvmlGpuTopologyLevel_t."""
    return f"topo {one} {other} {common}"


def nvlink(index: int, number: int, bus: int, *, switch: bool = False) -> str:
    """The line of one NVLink, which ends at the PCI bus of a GPU (16 and its index) or a switch."""
    return f"nvlink {index} {number} {bus} {2 if switch else 0}"
