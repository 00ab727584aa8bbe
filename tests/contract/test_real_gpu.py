"""A real NVIDIA GPU: what programs allocate is seen, whose it is, and that it is gone again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from mgpu.gpus.base import Monitor
from mgpu.model.gpu import Gpu
from tests.lib import cuda
from tests.lib.monitors import Open, ask
from tests.lib.waiting import eventually

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

MIB = 512


@pytest.fixture
def monitor(opened: Open) -> Monitor:
    return opened("nvml")


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A program that uses the first GPU."""
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    pipe = subprocess.PIPE
    with subprocess.Popen(cuda.command(MIB, "the end"), stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert "gpus" in cuda.said(process.stdout.readline().decode())
        yield process


def first(monitor: Monitor, leaders: dict[int, int] | None = None) -> Gpu:
    return ask(monitor, leaders).gpus[0]


def test_the_machine_is_described(monitor: Monitor) -> None:
    inventory = ask(monitor)
    assert inventory.backend == "nvml"
    assert inventory.driver[0].isdigit()
    for one in inventory.gpus:
        assert one.uuid.startswith(("GPU-", "MIG-"))
        assert one.total > 1000
        assert one.capability >= (3, 0)
        assert one.available, one.note


def test_the_library_that_is_loaded_is_the_one_that_is_installed(monitor: Monitor) -> None:
    for _ in range(3):
        assert ask(monitor).gpus


def test_what_a_program_allocates_is_seen_and_is_gone_with_it(
    monitor: Monitor, user: subprocess.Popen[bytes]
) -> None:
    busy = first(monitor)
    assert busy.used >= MIB
    user.communicate()
    eventually(lambda: first(monitor).used, until=lambda used: used <= busy.used - MIB, timeout=30)


def test_it_belongs_to_its_job(monitor: Monitor, user: subprocess.Popen[bytes]) -> None:
    before = first(monitor)
    if user.pid not in {one.pid for one in before.processes}:
        pytest.skip("the driver does not list this process: another namespace of pids?")
    ours = first(monitor, {user.pid: 42})
    (process,) = (one for one in ours.processes if one.pid == user.pid)
    assert (process.job, process.ticks > 0) == (42, True)
    if process.memory < 0:
        pytest.skip("the driver does not tell what a process uses")
    ((job, memory),) = ours.measured
    assert (job, memory >= MIB) == (42, True)
    assert ours.outside <= before.outside - MIB
