"""What every monitor does: the same tests run on simulated GPUs, on NVML in its process, and on a
real GPU where there is one.

NVML is the real binding on a stub of the driver's library (``tests/lib/fakenvml.c``).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from mgpu.gpus.base import ANSWER_LIMIT, Monitor
from mgpu.gpus.link import MonitorLink
from mgpu.gpus.memory import Memory
from mgpu.gpus.simulated import SimulatedMonitor
from mgpu.model.gpu import Inventory, Link
from mgpu.system import clock
from tests.lib.fakenvml import NO_DRIVER, FakeDriver
from tests.lib.monitors import NOW, SIMULATED, TWO, Open, later, next_from, without_readings

# ------------------------------------------------------------ every monitor


def test_the_first_inventory_comes_without_being_asked_for(monitor: Monitor) -> None:
    inventory = next_from(monitor)
    assert inventory.backend in {"simulated", "nvml"}
    assert [one.index for one in inventory.gpus] == list(range(len(inventory.gpus)))
    assert all(one.available and not one.note and not one.fault for one in inventory.gpus)


def test_gpus_differ_in_their_names_and_places(monitor: Monitor) -> None:
    gpus = next_from(monitor).gpus
    assert len({one.uuid for one in gpus}) == len(gpus) > 0
    assert len({(one.bus, one.card and one.uuid) for one in gpus}) == len(gpus)
    assert all(one.bus and one.minor >= 0 for one in gpus)
    assert [one.bus for one in gpus] == sorted(one.bus for one in gpus)


def test_a_request_brings_another_one(monitor: Monitor) -> None:
    first = next_from(monitor)
    monitor.request(NOW, {os.getpid(): 7})
    again = next_from(monitor)
    assert without_readings(again) == without_readings(first)
    assert (again.topology, again.driver) == (first.topology, first.driver)


def test_what_a_request_brings_was_seen_after_it(monitor: Monitor) -> None:
    first = next_from(monitor, clock.now())
    before = clock.now()
    assert 0 < first.taken < before.boot
    monitor.request(before, {})
    seen = next_from(monitor, clock.now())
    while seen.taken <= before.boot:  # what was on its way already
        seen = next_from(monitor, clock.now())
    assert before.boot < seen.taken < clock.now().boot


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
    assert (first.name, first.total, first.used) == ("Sim A", 16384, 100)
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


@pytest.fixture
def leader() -> Iterator[int]:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as process:
        yield process.pid


def simulated(opened: Open, memory: Memory | None = None) -> SimulatedMonitor:
    monitor = opened("simulated", memory=memory)
    assert isinstance(monitor, SimulatedMonitor)
    next_from(monitor)
    return monitor


def test_a_simulated_gpu_can_be_told_to_fill_up(opened: Open, leader: int) -> None:
    monitor = simulated(opened)
    monitor.tell(1, NOW, used=500, processes=((leader, 900), (os.getpid(), 70)), utilization=8)
    monitor.request(NOW, {leader: 42})
    other, full = next_from(monitor).gpus
    assert (full.used, full.outside, full.measured) == (1470, 70, ((42, 900),))
    assert [(one.pid, one.job) for one in full.processes] == [(leader, 42), (os.getpid(), 0)]
    assert full.reading.utilization == 8
    assert (other.used, other.processes) == (100, ())


def test_a_simulated_gpu_can_be_told_to_fail(opened: Open) -> None:
    monitor = simulated(opened)
    monitor.tell(0, NOW, fault="Xid 79: fallen off the bus", note="lost")
    lost, good = next_from(monitor).gpus
    assert (lost.available, lost.note, lost.fault) == (False, "lost", "Xid 79: fallen off the bus")
    assert (good.available, good.fault) == (True, "")
    monitor.tell(0, NOW, note="")
    monitor.forgive(lost.uuid)
    well = next_from(monitor).gpus[0]
    assert (well.available, well.fault) == (True, "")


def test_a_simulated_gpu_can_be_told_to_hang(opened: Open) -> None:
    memory = Memory()
    monitor = simulated(opened, memory)
    monitor.tell(1, NOW, hang=True)
    monitor.request(NOW, {})
    assert monitor.receive(later(1)) is None
    assert not monitor.expired(later(ANSWER_LIMIT - 1))
    assert monitor.expired(later(ANSWER_LIMIT))
    call = monitor.failure().call
    assert call is not None
    assert call.slot == 1


def test_what_a_simulated_gpu_was_told_outlives_its_monitor(opened: Open) -> None:
    memory = Memory(skipped={1: "it hangs"})
    simulated(opened, memory).tell(1, NOW, hang=True, fault="Xid 62")
    following = simulated(opened, memory)
    following.request(NOW, {})
    hung = next_from(following).gpus[1]
    assert (hung.available, hung.note, hung.fault) == (False, "it hangs", "Xid 62")
    following.tell(1, NOW, hang=False)
    assert next_from(following).gpus[1].available


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
    assert next_from(monitor)[:3] == Inventory("nvml", ())[:3]
    driver.show(*TWO)
    assert len(next_from(monitor).gpus) == 2
