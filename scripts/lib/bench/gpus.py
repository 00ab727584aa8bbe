"""What it costs to look at 8 GPUs with 64 processes each, on a stub of the driver's library."""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from mgpu.gpus.link import MonitorLink
from mgpu.gpus.memory import Memory
from mgpu.system import clock
from scripts.lib.bench.large import loop
from scripts.lib.bench.measure import Row, Scale
from tests.lib.fakenvml import FakeDriver, build, gpu, health, process
from tests.lib.users import User

GPUS: Final = 8
PROCESSES: Final = 64
INTERVAL: Final = 5


def gpus(_user: User, scale: Scale) -> list[Row]:
    """CPU of the monitor for one look, and its share of a core while nothing happens."""
    with _children(GPUS * PROCESSES) as pids, _driver(pids):
        # Every job is the leader of 16 processes here, but only the first is known by its number.
        leaders = {pid: number for number, pid in enumerate(pids[::16], start=1)}
        settings = {
            "gpus.backend": "nvml",
            "gpus.simulated": [],
            "gpus.poll_interval": INTERVAL,
            "paths.cgroup": "mgpu",
        }
        monitor = MonitorLink(settings, clock.now(), Memory())
        try:
            return _looks(monitor, leaders, scale) + _rest(monitor, scale)
        finally:
            monitor.close()


def _looks(monitor: MonitorLink, leaders: dict[int, int], scale: Scale) -> list[Row]:
    _look(monitor, leaders)  # the first one is for what does not change
    count = 20 if scale.quick else 300
    loops = [loop() for _ in range(15)]
    before = _cpu(monitor)
    for _ in range(count):
        _look(monitor, leaders)
    cost = (_cpu(monitor) - before) * 1e3 / count
    what = f"one look at {GPUS} GPUs with {PROCESSES} processes each, CPU"
    return [Row("gpus", what, cost, "ms", 5, "L", cost / median(loops))]


def _rest(monitor: MonitorLink, scale: Scale) -> list[Row]:
    before, begin = _cpu(monitor), time.monotonic()
    time.sleep(1 if scale.quick else 6 * INTERVAL)
    share = (_cpu(monitor) - before) / (time.monotonic() - begin) * 100
    return [Row("gpus", f"the same every {INTERVAL} s, CPU", share, "% of a core", 0.5)]


def _look(monitor: MonitorLink, leaders: dict[int, int]) -> None:
    monitor.request(clock.now(), leaders)
    while monitor.receive(clock.now()) is None:
        fd = monitor.fileno()
        if fd is None:
            raise RuntimeError("the monitor has ended")
        select.select([fd], [], [], 1.0)


def _cpu(monitor: MonitorLink) -> float:
    """Seconds that the monitor has run for."""
    fields = Path(f"/proc/{monitor.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _children(count: int) -> Iterator[list[int]]:
    """So many processes that do nothing."""
    pids = []
    for _ in range(count):
        pid = os.fork()
        if not pid:
            signal.pause()
            os._exit(0)
        pids.append(pid)
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def _driver(pids: list[int]) -> Iterator[None]:
    """The stub, in the environment of what is started from here."""
    folder = Path(tempfile.mkdtemp())
    fake = FakeDriver(folder / "state")
    uses = [process(number % GPUS, pid, 500 + number) for number, pid in enumerate(pids)]
    cards = [gpu(f"GPU-{number}", 143771, 60000, utilization=30) for number in range(GPUS)]
    states = [health(number, remap=0, ecc=0, action=0) for number in range(GPUS)]
    fake.show(*cards, *states, *uses)
    before = dict(os.environ)
    os.environ.update(fake.environment(build(folder)))
    yield
    os.environ.clear()
    os.environ.update(before)
    shutil.rmtree(folder)
