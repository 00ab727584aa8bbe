"""Errors of the hardware, and a driver that is replaced while it is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mgpu.gpus.base import Monitor
from mgpu.gpus.link import MonitorLink
from mgpu.gpus.memory import Memory
from tests.lib.fakenvml import (
    GPU_IS_LOST,
    NOT_SUPPORTED,
    RESET_REQUIRED,
    VERSION_MISMATCH,
    FakeDriver,
    build,
    fail,
    health,
    instance,
    xid,
)
from tests.lib.monitors import NOW, TWO, Open, ask, next_from
from tests.lib.waiting import eventually


def faults(monitor: Monitor) -> list[str]:
    return [one.fault for one in ask(monitor).gpus]


# ------------------------------------------------------------ faults


FATAL = [(79, "Xid 79: fallen off the bus"), (48, "Xid 48: double bit ECC error")]
FATAL += [(number, f"Xid {number}: ") for number in (46, 62, 64, 74, 95, 119, 120, 140, 143)]


@pytest.mark.parametrize(("number", "words"), FATAL)
def test_an_xid_of_broken_hardware_is_a_fault_of_its_gpu(
    number: int, words: str, driver: FakeDriver, opened: Open
) -> None:
    monitor = opened("nvml")
    assert faults(monitor) == ["", ""]
    driver.show(*TWO, xid(1, 1, number))
    well, broken = faults(monitor)
    assert well == ""
    assert broken.startswith(words)


@pytest.mark.parametrize("number", [13, 31, 43, 45, 63, 68, 92, 94, 109])
def test_an_xid_of_an_application_is_none(number: int, driver: FakeDriver, opened: Open) -> None:
    monitor = opened("nvml")
    next_from(monitor)
    driver.show(*TWO, xid(1, 0, number), xid(2, 1, 79))
    assert faults(monitor) == ["", "Xid 79: fallen off the bus"]


def test_a_fault_stays_until_it_is_forgiven(driver: FakeDriver, opened: Open) -> None:
    memory = Memory()
    monitor = opened("nvml", memory=memory)
    next_from(monitor)
    driver.show(*TWO, xid(1, 0, 62))
    broken = "Xid 62: internal micro-controller halt"
    assert faults(monitor) == [broken, ""]
    driver.show(*TWO)
    assert faults(monitor) == [broken, ""]
    monitor.close()
    following = opened("nvml", memory=memory)
    assert faults(following) == [broken, ""]
    following.forgive("GPU-b")
    assert faults(following) == [broken, ""]
    following.forgive("GPU-a")
    assert faults(following) == ["", ""]


def test_a_forgiven_gpu_can_fail_again(driver: FakeDriver, opened: Open) -> None:
    monitor = opened("nvml")
    next_from(monitor)
    driver.show(*TWO, xid(1, 0, 62))
    ask(monitor)
    monitor.forgive("GPU-a")
    assert faults(monitor) == ["", ""]
    driver.show(*TWO, xid(1, 0, 62), xid(2, 0, 62))
    assert faults(monitor)[0].startswith("Xid 62")


def test_the_same_error_after_a_repair_is_told_apart(driver: FakeDriver, opened: Open) -> None:
    memory = Memory()
    monitor = opened("nvml", memory=memory)
    next_from(monitor)
    text, events = "Xid 62: internal micro-controller halt", [xid(1, 0, 62)]
    driver.show(*TWO, *events)
    assert faults(monitor)[0] == text
    for number in (2, 3):
        monitor.forgive("GPU-a")  # and the next one comes before the GPUs are looked at
        events.append(xid(number, 0, 62))
        driver.show(*TWO, *events)
        assert faults(monitor)[0] == f"{text} ({number})"
    monitor.close()
    following = opened("nvml", memory=memory)
    next_from(following)
    following.forgive("GPU-a")
    driver.show(*TWO, *events, xid(4, 0, 62))
    assert faults(following)[0] == f"{text} (4)"


STATES = [
    (health(0, remap=1), "Xid 64: a bad page or row could not be retired"),
    (health(0, remap=0, ecc=3), ""),  # its rows are remapped: it goes on
    (health(0, ecc=1), "Xid 48: double bit ECC error"),
    (health(0, ecc=0), ""),
    (health(0, action=0), ""),
    (health(0, action=1), "the driver asks for a reset of the GPU"),
    (health(0, action=2), "the driver asks for a restart of the machine"),
    (health(0, action=3), ""),
    (fail("DeviceGetUUID", 0, GPU_IS_LOST), "fallen off the bus"),
    (fail("DeviceGetTemperature", 0, GPU_IS_LOST), "fallen off the bus"),
    (fail("DeviceGetTemperature", 0, RESET_REQUIRED), "needs a reset"),
    (fail("DeviceGetMemoryInfo_v2", 0, 999), ""),
]


@pytest.mark.parametrize(("state", "fault"), STATES)
def test_what_a_gpu_was_before_anybody_listened_is_seen(
    state: str, fault: str, driver: FakeDriver, opened: Open
) -> None:
    next_from(opened("nvml"))  # so that the second one knows the names
    memory = Memory()
    next_from(opened("nvml", memory=memory))
    driver.show(*TWO, state)
    assert faults(opened("nvml", memory=memory)) == [fault, ""]


def test_a_state_that_was_forgiven_does_not_count_again(driver: FakeDriver, opened: Open) -> None:
    driver.show(*TWO, health(0, remap=1))
    monitor = opened("nvml")
    assert faults(monitor)[0]
    monitor.forgive("GPU-a")
    assert faults(monitor) == faults(monitor) == ["", ""]


def test_a_driver_without_events_is_no_fault(driver: FakeDriver, opened: Open) -> None:
    without = (fail("EventSetCreate", -1, NOT_SUPPORTED), xid(1, 0, 79))
    driver.show(*TWO, *without)
    found = ask(opened("nvml")).gpus
    assert [(one.available, one.fault) for one in found] == [(True, ""), (True, "")]


def test_a_fault_of_a_card_is_one_of_its_instances(driver: FakeDriver, opened: Open) -> None:
    parts = [instance(0, f"MIG-{n}", n, 4864, 0, "NVIDIA A100") for n in (1, 2)]
    driver.show(*TWO, *parts)
    monitor = opened("nvml")
    next_from(monitor)
    driver.show(*TWO, *parts, xid(1, 0, 95))
    first, second, other = faults(monitor)
    assert first == second == "Xid 95: uncontained memory error"
    assert other == ""
    monitor.forgive("GPU-a")
    assert faults(monitor) == ["", "", ""]


# ------------------------------------------------------------ another driver


class Installed:
    """The library as a distribution installs it: a name for the loader, and the version's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.install("580.65.06")

    def install(self, version: str) -> None:
        """Replace what is there."""
        new = build(self.folder, f"libnvidia-ml.so.{version}")
        for old in set(self.folder.iterdir()) - {new}:
            old.unlink()
        (self.folder / "libnvidia-ml.so.1").symlink_to(new.name)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    folder = tmp_path / "lib"
    folder.mkdir()
    fake = FakeDriver(tmp_path / "state")
    fake.show(*TWO)
    for name, value in fake.environment(folder / "any").items():
        monkeypatch.setenv(name, value)
    return Installed(folder)


def end_of(monitor: Monitor) -> str:
    eventually(lambda: (monitor.receive(NOW), monitor.expired(NOW))[1], what="its end")
    monitor.close()
    return monitor.failure().kind


def test_a_monitor_ends_when_its_library_is_replaced(installed: Installed, opened: Open) -> None:
    memory = Memory()
    monitor = opened("nvml", memory=memory)
    next_from(monitor)
    ask(monitor)
    installed.install("590.48.01")
    assert end_of(monitor) == "replaced"
    assert next_from(opened("nvml", memory=memory)).gpus[0].available


def test_a_driver_that_does_not_fit_the_library_holds_all_gpus_and_says_what_to_do(
    installed: Installed, opened: Open, tmp_path: Path
) -> None:
    memory = Memory()
    monitor = opened("auto", memory=memory)
    next_from(monitor)
    installed.install("590.48.01")
    FakeDriver(tmp_path / "state").show(f"init {VERSION_MISMATCH}", *TWO)
    assert end_of(monitor) == "replaced"
    following = opened("auto", memory=memory)
    gpus = ask(following).gpus
    assert [(one.uuid, one.available) for one in gpus] == [("GPU-a", False), ("GPU-b", False)]
    (note,) = {one.note for one in gpus}
    assert note.startswith("the driver was upgraded to 590.48.01 while the old one")
    assert note.endswith("restart the machine or reload the kernel module")
    FakeDriver(tmp_path / "state").show(*TWO)
    assert all(one.available for one in ask(following).gpus)


def test_a_library_that_is_removed_is_missed(installed: Installed, opened: Open) -> None:
    memory = Memory()
    monitor = opened("auto", memory=memory)
    next_from(monitor)
    for file in installed.folder.iterdir():
        file.unlink()
    assert end_of(monitor) == "replaced"
    if os.path.exists("/dev/nvidiactl"):
        pytest.skip("another library is found here")
    lost = next_from(opened("auto", memory=memory)).gpus
    assert {(one.available, one.note) for one in lost} == {
        (False, "NVML: NVML Shared Library Not Found (nvmlInit)")
    }


def test_a_library_that_stays_is_asked_on(installed: Installed, opened: Open) -> None:
    monitor = opened("nvml")
    for _ in range(5):
        ask(monitor)
    assert isinstance(monitor, MonitorLink)
    assert not monitor.expired(NOW)
