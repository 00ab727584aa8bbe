"""The tests of a real GPU run here too, on stand-ins of NVIDIA's libraries: they do not rot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.lib.docs import ROOT
from tests.lib.fakenvml import NOT_SUPPORTED, FakeDriver, fail, gpu, process
from tests.lib.stubbox import FOLDER

pytestmark = pytest.mark.slow

USES = Path("/run/fake-cuda")
TESTS = ["tests/contract/test_real_gpu.py", "tests/e2e/test_real_gpu.py"]
#: Runs what follows with nodes of two GPUs that are not there, and with users of its own.
NODES = """
mkdir -p /run/dev /run/etc && mount -t tmpfs -o mode=755 tmpfs /run/dev
mount -t tmpfs -o mode=755 tmpfs /run/etc && cp -a /etc/. /run/etc && mount --bind /run/etc /etc
mount -t tmpfs -o mode=755 tmpfs /home
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx /dev/fd /run/dev
mkdir -m 1777 /run/dev/shm && mkdir /run/dev/pts && mount --bind /dev/pts /run/dev/pts
for n in 0 1 255; do mknod -m 666 /run/dev/nvidia$n c 195 $n; done
mv /run/dev/nvidia255 /run/dev/nvidiactl
mount --rbind /run/dev /dev && exec "$@"
"""


def shown(uses: Mapping[int, tuple[int, int]], kind: str) -> list[str]:
    """What NVML is to tell of these processes (pid: GPU, MiB): all, no memory, or none of them."""
    lines = []
    for number in (0, 1):
        used = sum(memory for one, memory in uses.values() if one == number)
        uuid = f"GPU-00000000-0000-4000-8000-00000000000{number}"
        lines.append(gpu(uuid, 143771, used))
        if kind == "no processes":
            calls = [f"DeviceGetComputeRunningProcesses_v{version}" for version in (3, 2)]
            lines += [fail(call, number, NOT_SUPPORTED) for call in calls]
    told = {pid: (one, memory if kind == "all" else -1) for pid, (one, memory) in uses.items()}
    listed = told if kind != "no processes" else {}
    return lines + [process(one, pid, memory) for pid, (one, memory) in listed.items()]


def used() -> dict[int, tuple[int, int]]:
    """What living processes have allocated."""
    found = {}
    for file in USES.iterdir():
        words = file.read_text().split()
        if Path(f"/proc/{file.name}").exists() and len(words) == 2:
            found[int(file.name)] = (int(words[0]), int(words[1]))
    return found


@pytest.fixture
def cuda(driver: None) -> Iterator[None]:
    source = Path(__file__).parents[1] / "lib" / "fakecuda.c"
    library = FOLDER / "libcuda.so.1"
    shared = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"]
    subprocess.run(["gcc", "-O1", *shared, str(library), str(source)], check=True)
    subprocess.run(["ldconfig"], check=True)
    USES.mkdir(mode=0o1777)
    USES.chmod(0o1777)
    yield
    library.unlink()
    shutil.rmtree(USES)


def test_the_script_finds_them() -> None:
    line = [str(ROOT / "scripts/test-gpu"), "--collect-only", "-q"]
    env = {**os.environ, "MGPU_TEST_PYTHON": sys.executable}
    done = subprocess.run(line, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout for name in TESTS)


@pytest.mark.parametrize("kind", ["all", "no memory", "no processes"])
def test_they_pass_on_stand_ins_whatever_the_driver_tells(cuda: None, kind: str) -> None:
    state = FakeDriver(FOLDER / "state")
    over = threading.Event()

    def show() -> None:
        before: object = None
        while not over.wait(0.02):
            now = used()
            if now != before:
                state.show(*shown(now, kind))
                state.path.chmod(0o644)
                before = now

    showing = threading.Thread(target=show)
    showing.start()
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "gpu", *TESTS]
    line = ["unshare", "--mount", "--propagation", "private", "bash", "-ec", NODES, "bash", *tests]
    try:
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    finally:
        over.set()
        showing.join()
    assert done.returncode == 0, done.stdout + done.stderr
    skipped = {"all": 0, "no memory": 1, "no processes": 1}[kind]
    assert ("skipped" in done.stdout) == bool(skipped), done.stdout
