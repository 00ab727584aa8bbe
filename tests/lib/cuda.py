"""A program that uses a GPU through NVIDIA's own library, as a test of a real one needs it."""

from __future__ import annotations

import json
import sys
from typing import Any

#: Arguments: MiB to allocate on the first GPU, and what to wait for then: "nothing", "the end" of
#: its input, or "death". It prints one line: the UUIDs that CUDA sees, or which call has failed.
PROGRAM = """
import ctypes, json, signal, sys, uuid
size, wait = int(sys.argv[1]), sys.argv[2]
cuda = ctypes.CDLL("libcuda.so.1")

def call(name, *args):
    code = getattr(cuda, name)(*args)
    if code:
        print(json.dumps({"failed": name, "code": code}), flush=True)
        sys.exit(3)

count, device = ctypes.c_int(), ctypes.c_int()
call("cuInit", 0)
call("cuDeviceGetCount", ctypes.byref(count))
seen = []
for number in range(count.value):
    raw = (ctypes.c_ubyte * 16)()
    call("cuDeviceGet", ctypes.byref(device), number)
    call("cuDeviceGetUuid_v2", raw, device)
    seen.append(str(uuid.UUID(bytes=bytes(raw))))
if size:
    context, memory = ctypes.c_void_p(), ctypes.c_uint64()
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(size << 20))
print(json.dumps({"gpus": seen}), flush=True)
if wait == "the end":
    sys.stdin.read()
while wait == "death":
    signal.pause()
"""


def command(size: int, wait: str = "nothing") -> list[str]:
    """The command line that allocates ``size`` MiB and waits."""
    return [sys.executable, "-c", PROGRAM, str(size), wait]


def said(output: str) -> dict[str, Any]:
    """What the program has printed, among what else is in a job's log."""
    (line,) = (line for line in output.splitlines() if line.startswith("{"))
    found: dict[str, Any] = json.loads(line)
    return found


def bare(uuid: str) -> str:
    """A UUID as CUDA tells it: without what NVML puts before it."""
    return uuid.partition("-")[2].lower()
