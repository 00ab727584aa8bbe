"""NVML in its process: the real binding on a stub of the driver's library."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from mgpu.gpus.base import ANSWER_LIMIT, MAX_PROCESSES, unavailable
from mgpu.gpus.link import START_LIMIT, MonitorLink
from mgpu.gpus.memory import Memory
from mgpu.gpus.page import Call
from mgpu.model.gpu import Inventory, Link, Reading
from mgpu.model.time import Now
from mgpu.system import clock
from tests.lib.fakenvml import (
    GPU_IS_LOST,
    NO_DRIVER,
    NOT_SUPPORTED,
    RESERVED,
    FakeDriver,
    capability,
    fail,
    gpu,
    hang,
    instance,
    level,
    nvlink,
    process,
)
from tests.lib.monitors import NOW, TWO, Open, later, next_from, settings, until
from tests.lib.waiting import eventually


def test_nvml_tells_names_uuids_and_memory_that_programs_can_have(
    driver: FakeDriver, opened: Open
) -> None:
    first, second = next_from(opened("nvml")).gpus
    assert (first.uuid, first.name) == ("GPU-a", "NVIDIA H200")
    assert (first.total, first.used) == (143771 - RESERVED, 1024)
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
    assert (strangers.outside, [one.job for one in strangers.processes]) == (1000, [0, 0])
    monitor.request(NOW, {os.getpid(): 42})
    ours = next_from(monitor).gpus[0]
    assert (ours.outside, ours.measured) == (100, ((42, 900),))
    assert [(one.pid, one.memory, one.job) for one in ours.processes] == [
        (os.getpid(), 900, 42),
        (1, 100, 0),
    ]
    assert ours.processes[0].uid == os.getuid()


def test_a_process_has_a_birth(driver: FakeDriver, opened: Open) -> None:
    driver.show(*TWO, process(0, os.getpid(), 900), process(0, 2**22 + 1, 10))
    ours, gone = next_from(opened("nvml")).gpus[0].processes
    stat = Path("/proc/self/stat").read_text()
    assert ours.ticks == int(stat.rpartition(")")[2].split()[19])
    started = psutil.Process().create_time()
    assert abs(ours.since - started) < 1
    assert (gone.uid, gone.ticks, gone.since) == (-1, 0, 0)


def test_what_each_job_uses_is_told_beyond_the_processes_that_are_named(
    driver: FakeDriver, opened: Open
) -> None:
    many = [process(0, 2**22 + n, 1000) for n in range(1, 40)]
    children = [process(0, os.getpid(), 5), process(0, os.getppid(), 7)]
    driver.show(*TWO, *many, *children)
    monitor = opened("nvml")
    monitor.request(NOW, {os.getpid(): 42, 2**22 + 1: 43, 2**22 + 2: 43})
    found = until(monitor, lambda seen: seen.gpus[0].measured)
    assert found.gpus[0].measured == ((42, 5), (43, 2000))
    assert len(found.gpus[0].processes) == MAX_PROCESSES
    assert os.getpid() in {one.pid for one in found.gpus[0].processes}


def test_a_job_is_not_measured_where_the_driver_does_not_tell_of_one_process(
    driver: FakeDriver, opened: Open
) -> None:
    driver.show(*TWO, process(0, os.getpid(), -1), process(0, 2**22 + 1, 10))
    monitor = opened("nvml")
    monitor.request(NOW, {os.getpid(): 42, 2**22 + 1: 42})
    found = until(monitor, lambda seen: seen.gpus[0].processes[0].job)
    assert (found.gpus[0].measured, found.gpus[0].untold) == ((), (42,))


def test_a_driver_that_tells_of_no_processes_says_so(driver: FakeDriver, opened: Open) -> None:
    kinds = [f"DeviceGet{kind}RunningProcesses" for kind in ("Compute", "Graphics")]
    names = [f"{kind}_v{version}" for kind in kinds for version in (2, 3)]
    driver.show(*TWO, *(fail(name, 0, NOT_SUPPORTED) for name in names))
    first, second = next_from(opened("nvml")).gpus
    assert (first.told, second.told) == (False, True)


def test_nvml_tells_places_and_the_driver(driver: FakeDriver, opened: Open) -> None:
    driver.show(*TWO, "node 1 7")
    inventory = next_from(opened("nvml"))
    assert inventory.driver == "580.65.06"
    assert [(one.bus, one.minor) for one in inventory.gpus] == [
        ("00000000:10:00.0", 0),
        ("00000000:11:00.0", 7),
    ]


def test_nvml_tells_readings(driver: FakeDriver, opened: Open) -> None:
    silent = ("UtilizationRates", "Temperature", "PowerUsage", "EnforcedPowerLimit")
    without = [fail(f"DeviceGet{name}", 1, NOT_SUPPORTED) for name in silent]
    driver.show(gpu("GPU-a", 1000, utilization=50), TWO[1], *without)
    told, untold = next_from(opened("nvml")).gpus
    assert told.reading == Reading(50, 40, 270, 500)
    assert untold.reading == Reading(-1, -1, -1, -1)
    assert untold.available


def test_indices_follow_the_places_of_gpus_and_what_is_lost_keeps_its_place(
    driver: FakeDriver, opened: Open
) -> None:
    three = [*TWO, gpu("GPU-c", 1000)]
    driver.show(*three, fail("DeviceGetHandleByIndex_v2", 1, GPU_IS_LOST))
    monitor = opened("nvml")
    assert [one.uuid for one in next_from(monitor).gpus] == ["GPU-a", "GPU-unknown-1", "GPU-c"]
    driver.show(*three)
    assert [one.uuid for one in next_from(monitor).gpus] == ["GPU-a", "GPU-b", "GPU-c"]
    driver.show(*three, fail("DeviceGetHandleByIndex_v2", 0, GPU_IS_LOST))
    found = next_from(monitor).gpus
    assert [(one.uuid, one.index) for one in found] == [("GPU-a", 0), ("GPU-b", 1), ("GPU-c", 2)]


def test_what_a_monitor_has_seen_its_successor_knows(driver: FakeDriver, opened: Open) -> None:
    memory = Memory()
    monitor = opened("nvml", memory=memory)
    next_from(monitor)
    monitor.close()
    driver.show(*TWO, fail("DeviceGetHandleByIndex_v2", 0, GPU_IS_LOST))
    lost, well = next_from(opened("nvml", memory=memory)).gpus
    assert (lost.uuid, lost.name, lost.available) == ("GPU-a", "NVIDIA H200", False)
    assert (well.uuid, well.available) == ("GPU-b", True)


SLICE = "NVIDIA A100-SXM4-40GB MIG 1g.5gb"


def test_instances_of_a_gpu_in_mig_mode_are_gpus_of_their_own(
    driver: FakeDriver, opened: Open
) -> None:
    parts = [instance(0, f"MIG-{n}", n, 4864, 100 * n, SLICE) for n in (1, 2)]
    used = [f"migproc 2 0 {os.getpid()} 90", process(1, 1, 10)]
    driver.show(gpu("GPU-a", 40960, 300, name="NVIDIA A100"), *parts, TWO[1], *used)
    monitor = opened("nvml")
    monitor.request(NOW, {os.getpid(): 42})
    inventory = until(monitor, lambda seen: seen.gpus[1].measured)
    first, second, whole = inventory.gpus
    assert (first.uuid, first.name, first.card, first.total) == ("MIG-1", SLICE, "GPU-a", 4864)
    assert (first.index, first.bus, first.minor) == (0, "00000000:10:00.0", 0)
    assert (second.used, second.outside, second.measured) == (200, 0, ((42, 90),))
    assert first.processes == ()
    assert (whole.uuid, whole.card, whole.index) == ("GPU-b", "", 2)
    assert inventory.topology[0] == (Link.SELF, Link.SWITCH, inventory.topology[0][2])


def test_a_gpu_in_mig_mode_without_instances_is_not_listed(
    driver: FakeDriver, opened: Open
) -> None:
    driver.show(*TWO, "migmode 0 1")
    assert [one.uuid for one in next_from(opened("nvml")).gpus] == ["GPU-b"]


def test_the_profile_is_in_the_name_also_where_the_driver_leaves_it_out(
    driver: FakeDriver, opened: Open
) -> None:
    driver.show(TWO[0], "mig 0 MIG-1 1 20000 0 3 1 NVIDIA A100")
    assert next_from(opened("nvml")).gpus[0].name == "NVIDIA A100 MIG 1c.3g.20gb"


def test_a_gpu_whose_card_is_lost_is_lost(driver: FakeDriver, opened: Open) -> None:
    part = instance(0, "MIG-1", 1, 4864, 0, SLICE)
    driver.show(*TWO, part)
    monitor = opened("nvml")
    next_from(monitor)
    driver.show(*TWO, part, fail("DeviceGetUUID", 0, GPU_IS_LOST))
    lost, well = next_from(monitor).gpus
    assert (lost.uuid, lost.available, lost.fault) == ("MIG-1", False, "fallen off the bus")
    assert well.available


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
    assert lost.fault == "fallen off the bus"
    assert (lost.uuid, lost.available, lost.note) == (
        "GPU-a",
        False,
        "NVML: GPU is lost (nvmlDeviceGetHandleByIndex)",
    )
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
    assert next_from(monitor)[:2] == Inventory("nvml", ())[:2]
    driver.show(*TWO)
    assert len(next_from(monitor).gpus) == 2


@pytest.fixture
def timed(driver: FakeDriver) -> Iterator[Callable[[], MonitorLink]]:
    """Opens a monitor on the real clock, which it uses itself."""
    with ExitStack() as stack:

        def open_one() -> MonitorLink:
            monitor = MonitorLink(settings("nvml"), clock.now(), Memory())
            stack.callback(monitor.close)
            return monitor

        yield open_one


def at(boot: float) -> Now:
    return Now(0.0, boot)


def test_a_driver_call_that_hangs_is_seen(
    driver: FakeDriver, timed: Callable[[], MonitorLink]
) -> None:
    monitor = timed()
    inventory = next_from(monitor, clock.now())
    driver.show("hang 1")
    before = clock.now()
    monitor.request(before, {})
    assert monitor.deadline() == before.boot + ANSWER_LIMIT
    since = eventually(monitor._page.since)
    assert not monitor.expired(at(before.boot + ANSWER_LIMIT))
    assert monitor.deadline() == since + ANSWER_LIMIT, "it counts from when the call was begun"
    assert monitor.expired(at(since + ANSWER_LIMIT))
    held = unavailable(inventory, "the driver hangs")
    assert {(one.available, one.note) for one in held.gpus} == {(False, "the driver hangs")}


def test_a_driver_that_hangs_unasked_is_seen_within_30_seconds(
    driver: FakeDriver,
) -> None:
    monitor = MonitorLink({**settings("nvml"), "gpus.poll_interval": 5}, NOW, Memory())
    next_from(monitor)
    assert monitor.expired(later(30))
    monitor.close()


def test_a_slow_start_of_the_driver_is_waited_for(
    driver: FakeDriver, timed: Callable[[], MonitorLink]
) -> None:
    driver.show(*TWO, hang("InitWithFlags", -1))
    monitor = timed()
    since = eventually(monitor._page.since)
    assert not monitor.expired(at(since + START_LIMIT - 1))
    assert monitor.expired(at(since + START_LIMIT))


def test_a_first_call_about_a_gpu_that_hangs_is_no_slow_start(
    driver: FakeDriver, timed: Callable[[], MonitorLink]
) -> None:
    driver.show(*TWO, hang("DeviceGetName", 1))
    monitor = timed()
    eventually(lambda: monitor._page.read() == Call(1, "nvmlDeviceGetName"))
    since = monitor._page.since()
    assert not monitor.expired(at(since + ANSWER_LIMIT - 1))
    assert monitor.expired(at(since + ANSWER_LIMIT))


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
