"""What every monitor does: the same tests run on simulated GPUs and on NVML in its process.

NVML is the real binding on a stub of the driver's library (``tests/lib/fakenvml.c``).
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mgpu.gpus.base import Monitor, unavailable
from mgpu.gpus.link import ANSWER_LIMIT, START_LIMIT, MonitorLink, open_monitor
from mgpu.model.gpu import Inventory, Link
from mgpu.model.time import Now
from tests.lib.fakenvml import (
    GPU_IS_LOST,
    NO_DRIVER,
    FakeDriver,
    build,
    capability,
    gpu,
    level,
    nvlink,
)
from tests.lib.waiting import eventually

NOW = Now(1_700_000_000.0, 1000.0)
SIMULATED = [{"name": "Sim A", "memory": 16384, "count": 2, "used": 100}]
TWO = (gpu("GPU-a", 143771, 1024), gpu("GPU-b", 24564, name="NVIDIA L4"))
RESERVED = 512


def later(seconds: float) -> Now:
    return Now(NOW.wall + seconds, NOW.boot + seconds)


def settings(backend: str, simulated: list[dict[str, Any]] = SIMULATED) -> dict[str, Any]:
    return {
        "gpus.backend": backend,
        "gpus.simulated": simulated,
        "gpus.poll_interval": 0.25,
        "paths.cgroup": "mgpu",
    }


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    fake = FakeDriver(tmp_path / "state")
    fake.show(*TWO)
    for name, value in fake.environment(library).items():
        monkeypatch.setenv(name, value)
    return fake


Open = Callable[..., Monitor]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens monitors and closes them after the test."""
    monitors: list[Monitor] = []

    def open_one(backend: str, simulated: list[dict[str, Any]] = SIMULATED) -> Monitor:
        monitors.append(open_monitor(settings(backend, simulated), NOW))
        return monitors[-1]

    yield open_one
    for monitor in monitors:
        monitor.close()


@pytest.fixture(params=["simulated", "nvml"])
def monitor(request: pytest.FixtureRequest, opened: Open) -> Monitor:
    if request.param == "nvml":
        request.getfixturevalue("driver")
    return opened(request.param)


def next_from(monitor: Monitor, now: Now = NOW) -> Inventory:
    """The next inventory, waiting for it as the scheduler's loop does."""

    def look() -> Inventory | None:
        fd = monitor.fileno()
        if fd is not None:
            select.select([fd], [], [], 0.5)
        return monitor.receive(now)

    found = eventually(look, what="an inventory")
    assert found is not None
    return found


# ------------------------------------------------------------ every monitor


def test_the_first_inventory_comes_without_being_asked_for(monitor: Monitor) -> None:
    inventory = next_from(monitor)
    assert inventory.backend in {"simulated", "nvml"}
    assert [one.index for one in inventory.gpus] == [0, 1]
    assert len({one.uuid for one in inventory.gpus}) == 2
    assert all(one.available and not one.note for one in inventory.gpus)


def test_a_request_brings_another_one(monitor: Monitor) -> None:
    first = next_from(monitor)
    monitor.request(NOW, {os.getpid(): 7})
    assert next_from(monitor) == first
    assert monitor.receive(NOW) is None


def test_a_monitor_that_answers_has_not_expired(monitor: Monitor) -> None:
    next_from(monitor)
    monitor.request(NOW, {})
    next_from(monitor)
    assert not monitor.expired(later(ANSWER_LIMIT / 2))


def test_closing_can_be_repeated(monitor: Monitor) -> None:
    monitor.close()
    monitor.close()


# ------------------------------------------------------------ simulated


def test_simulated_gpus_are_what_the_settings_say(opened: Open) -> None:
    first, second = next_from(opened("simulated")).gpus
    assert (first.name, first.total, first.outside, first.used) == ("Sim A", 16384, 100, 100)
    assert first.uuid == "GPU-51500000-0000-4000-8000-000000000000"
    assert second.uuid == "GPU-51500000-0000-4000-8000-000000000001"


def test_simulated_gpus_cost_no_descriptor_and_no_wake_up(opened: Open) -> None:
    monitor = opened("simulated")
    assert monitor.fileno() is None
    assert monitor.deadline() is None
    assert not monitor.expired(later(1e9))


def test_simulated_gpus_have_the_capability_and_the_links_that_the_settings_say(
    opened: Open,
) -> None:
    pair = {"name": "A", "memory": 16384, "count": 2, "used": 0, "capability": (8, 6), "numa": 0}
    tables = [pair | {"nvlink": 0}, pair | {"switch": 3}, pair | {"count": 1}]
    inventory = next_from(opened("simulated", tables))
    assert {one.capability for one in inventory.gpus} == {(8, 6)}
    row = (Link.SELF, Link.NVLINK, Link.NUMA, Link.NUMA, Link.NUMA)
    assert inventory.topology[0] == row
    assert inventory.topology[2][3] == Link.SWITCH
    (plain, other) = next_from(opened("simulated")).topology
    assert (plain[1], other[1]) == (Link.SYSTEM, Link.SELF)


# ------------------------------------------------------------ NVML


def test_nvml_tells_names_uuids_and_memory_that_programs_can_have(
    driver: FakeDriver, opened: Open
) -> None:
    first, second = next_from(opened("nvml")).gpus
    assert (first.uuid, first.name) == ("GPU-a", "NVIDIA H200")
    assert (first.total, first.used, first.outside) == (143771 - RESERVED, 1024, 1024)
    assert (second.uuid, second.name, second.total) == ("GPU-b", "NVIDIA L4", 24564 - RESERVED)


def test_nvml_tells_capabilities(driver: FakeDriver, opened: Open) -> None:
    driver.show(*TWO, capability(1, 8, 9))
    assert [one.capability for one in next_from(opened("nvml")).gpus] == [(9, 0), (8, 9)]


def test_nvml_tells_what_is_nearest_above_two_gpus(driver: FakeDriver, opened: Open) -> None:
    gpus = [gpu(f"GPU-{n}", 1000) for n in range(7)]
    levels = [level(0, n, common) for n, common in enumerate((0, 10, 20, 30, 40, 50), start=1)]
    driver.show(*gpus, *levels)
    first, *others = next_from(opened("nvml")).topology
    switch, numa, system = Link.SWITCH, Link.NUMA, Link.SYSTEM
    assert first == (Link.SELF, switch, switch, switch, numa, numa, system)
    assert [row[0] for row in others] == list(first[1:])


def test_gpus_are_joined_by_nvlink_or_by_a_common_nvswitch(
    driver: FakeDriver, opened: Open
) -> None:
    gpus = [gpu(f"GPU-{n}", 1000) for n in range(5)]
    chain = [nvlink(0, 2, 17), nvlink(1, 0, 16), nvlink(1, 1, 18), nvlink(2, 0, 17)]
    driver.show(*gpus, *chain, *(nvlink(n, 3, 99, switch=True) for n in (3, 4)))
    matrix = next_from(opened("nvml")).topology
    joined = {(a, b) for a in range(5) for b in range(a) if matrix[a][b] == Link.NVLINK}
    assert joined == {(1, 0), (2, 1), (4, 3)}


def test_links_of_a_gpu_that_is_lost_stay_known(driver: FakeDriver, opened: Open) -> None:
    monitor = opened("nvml")
    before = next_from(monitor).topology
    driver.show(gpu("GPU-a", 143771, error=GPU_IS_LOST), TWO[1])
    assert next_from(monitor).topology == before == ((5, 3), (3, 5))


def test_links_of_a_gpu_that_was_lost_at_first_are_found_when_it_is_well(
    driver: FakeDriver, opened: Open
) -> None:
    driver.show(gpu("GPU-a", 143771, error=GPU_IS_LOST), TWO[1])
    monitor = opened("nvml")
    assert next_from(monitor).topology == ((5, 1), (1, 5))
    driver.show(*TWO)
    assert next_from(monitor).topology == ((5, 3), (3, 5))


def test_processes_of_jobs_are_told_from_those_of_others(driver: FakeDriver, opened: Open) -> None:
    driver.show(TWO[0], TWO[1], f"proc 0 {os.getpid()} 900", "proc 0 1 100")
    monitor = opened("nvml")
    strangers = next_from(monitor).gpus[0]
    assert (strangers.outside, [one.job for one in strangers.processes]) == (1024, [0, 0])
    monitor.request(NOW, {os.getpid(): 42})
    ours = next_from(monitor).gpus[0]
    assert ours.outside == 1024 - 900
    assert [(one.pid, one.memory, one.job) for one in ours.processes] == [
        (os.getpid(), 900, 42),
        (1, 100, 0),
    ]
    assert ours.processes[0].uid == os.getuid()


def test_a_change_comes_without_being_asked_for(driver: FakeDriver, opened: Open) -> None:
    monitor = opened("nvml")
    next_from(monitor)
    driver.show(gpu("GPU-a", 143771, 2048), TWO[1])
    assert next_from(monitor).gpus[0].used == 2048


def test_a_lost_gpu_is_named_and_the_others_go_on(driver: FakeDriver, opened: Open) -> None:
    monitor = opened("nvml")
    next_from(monitor)
    driver.show(gpu("GPU-a", 143771, error=GPU_IS_LOST), gpu("GPU-b", 24564, 77))
    lost, good = next_from(monitor).gpus
    assert (lost.uuid, lost.available, lost.note) == ("GPU-a", False, "NVML: GPU is lost")
    assert (good.uuid, good.available, good.used) == ("GPU-b", True, 77)
    driver.show(*TWO)
    assert all(one.available for one in next_from(monitor).gpus)


def test_a_gpu_that_was_never_seen_well_is_counted(driver: FakeDriver, opened: Open) -> None:
    driver.show(gpu("GPU-a", 143771, error=GPU_IS_LOST), TWO[1])
    found = next_from(opened("nvml")).gpus
    assert [one.available for one in found] == [False, True]
    assert found[1].uuid == "GPU-b"


def test_a_driver_that_goes_away_makes_all_gpus_unavailable(
    driver: FakeDriver, opened: Open
) -> None:
    monitor = opened("nvml")
    next_from(monitor)
    driver.show(gpu("GPU-a", 143771))
    gone = next_from(monitor).gpus[1]
    assert (gone.uuid, gone.available, gone.note) == (
        "GPU-b",
        False,
        "no longer listed by the driver",
    )


def test_a_driver_that_is_not_loaded_yet_is_asked_again(driver: FakeDriver, opened: Open) -> None:
    driver.show(f"init {NO_DRIVER}", *TWO)
    monitor = opened("nvml")
    assert next_from(monitor) == Inventory("nvml", ())
    driver.show(*TWO)
    assert len(next_from(monitor).gpus) == 2


def test_a_driver_call_that_hangs_is_seen(driver: FakeDriver, opened: Open) -> None:
    monitor = opened("nvml")
    inventory = next_from(monitor)
    driver.show("hang 1")
    monitor.request(NOW, {})
    assert not monitor.expired(later(ANSWER_LIMIT - 1))
    assert monitor.expired(later(ANSWER_LIMIT))
    assert monitor.deadline() == NOW.boot + ANSWER_LIMIT
    held = unavailable(inventory, "the driver hangs")
    assert {(one.available, one.note) for one in held.gpus} == {(False, "the driver hangs")}


def test_a_driver_that_hangs_unasked_is_seen_within_30_seconds(
    driver: FakeDriver,
) -> None:
    monitor = MonitorLink({**settings("nvml"), "gpus.poll_interval": 5}, NOW)
    next_from(monitor)
    assert monitor.expired(later(30))
    monitor.close()


def test_a_slow_first_answer_is_waited_for(driver: FakeDriver, opened: Open) -> None:
    driver.show("hang 1")
    monitor = opened("nvml")
    monitor.request(later(1), {})
    assert not monitor.expired(later(START_LIMIT - 1))
    assert monitor.expired(later(START_LIMIT))


def test_a_monitor_that_is_killed_is_seen_at_once(driver: FakeDriver, opened: Open) -> None:
    monitor = opened("nvml")
    next_from(monitor)
    assert isinstance(monitor, MonitorLink)
    os.kill(monitor.pid, 9)

    def gone() -> bool:
        monitor.receive(NOW)
        return monitor.expired(NOW)

    eventually(gone)
    assert monitor.fileno() is None


def test_the_monitor_ends_with_the_scheduler(driver: FakeDriver, opened: Open) -> None:
    monitor = opened("nvml")
    next_from(monitor)
    assert isinstance(monitor, MonitorLink)
    monitor._socket.shutdown(2)
    assert monitor._process.wait(timeout=10) == 0


# ------------------------------------------------------------ auto


def test_auto_takes_the_driver_where_it_finds_a_gpu(driver: FakeDriver, opened: Open) -> None:
    assert next_from(opened("auto")).backend == "nvml"


AUTO = [("no library", SIMULATED, 2), ("no library", [], 0), ("no gpu", SIMULATED, 2)]


@pytest.mark.parametrize(("machine", "simulated", "count"), AUTO)
def test_auto_falls_back_on_the_list(
    machine: str,
    simulated: list[dict[str, Any]],
    count: int,
    opened: Open,
    request: pytest.FixtureRequest,
) -> None:
    if machine == "no library" and os.path.exists("/dev/nvidiactl"):
        pytest.skip("the library is here")
    if machine == "no gpu":
        request.getfixturevalue("driver").show()
    monitor = opened("auto", simulated)
    inventory = next_from(monitor)
    assert (inventory.backend, len(inventory.gpus)) == ("simulated", count)
    assert monitor.fileno() is None
    assert not monitor.expired(later(1e6))
    assert isinstance(monitor, MonitorLink)
    assert not os.path.exists(f"/proc/{monitor.pid}"), "a process or a zombie is left"


def test_auto_waits_for_a_driver_that_is_installed(driver: FakeDriver, opened: Open) -> None:
    driver.show(f"init {NO_DRIVER}")
    monitor = opened("auto", [])
    assert next_from(monitor) == Inventory("nvml", ())
    driver.show(*TWO)
    assert len(next_from(monitor).gpus) == 2
