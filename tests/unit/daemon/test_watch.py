"""Monitors follow each other: what one hung in or crashed on is left out by the next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mgpu.daemon import monitor
from mgpu.daemon.loop import Loop
from mgpu.daemon.monitor import Watch
from mgpu.gpus import link, probes
from mgpu.gpus.base import ANSWER_LIMIT, Failure
from mgpu.gpus.link import MonitorLink
from mgpu.gpus.page import Call
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.time import Now
from mgpu.system import clock
from mgpu.system.log import log
from tests.lib.fakenvml import FakeDriver, build, hang
from tests.lib.monitors import NOW, TWO, later, settings
from tests.lib.waiting import eventually


class Desk:
    """A watch in a loop, on a real clock or on one that the test turns."""

    def __init__(self, backend: str) -> None:
        self.published: list[Inventory] = []
        self.leaders: dict[int, int] = {}
        self.loop = Loop(clock.now)
        self.watch = Watch(
            settings(backend), self.loop, self.published.append, lambda: dict(self.leaders)
        )

    def start(self, now: Now) -> None:
        """Begin."""
        self.watch.start(now)

    def turn(self) -> list[Gpu]:
        """One turn of the loop, at the most a moment long; the GPUs as they were told last."""
        due = min((at for at in self.watch.deadlines() if at is not None), default=None)
        left = 0.05 if due is None else min(0.05, max(0.0, due - clock.now().boot))
        self.loop.turn(self.watch.expire, left)
        return self.gpus()

    def gpus(self) -> list[Gpu]:
        """As they were told last."""
        return list(self.published[-1].gpus) if self.published else []

    def well(self) -> list[bool]:
        """Which of them may be used."""
        return [one.available for one in self.gpus()]

    def until(self, *well: bool) -> list[Gpu]:
        """Go on until so many GPUs may be used or not."""
        eventually(self.turn, until=lambda _: self.well() == list(well), what=f"{well}")
        return self.gpus()


@pytest.fixture
def simulated() -> Iterator[Desk]:
    desk = Desk("simulated")
    desk.start(NOW)
    yield desk
    desk.watch.stop()
    desk.loop._epoll.close()


@pytest.fixture
def driver(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> FakeDriver:
    fake = FakeDriver(tmp_path / "state")
    fake.show(*TWO)
    for name, value in fake.environment(build(tmp_path_factory.mktemp("nvml"))).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(monitor, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(link, "ANSWER_LIMIT", 0.3)
    monkeypatch.setattr(link, "START_LIMIT", 0.6)
    return fake


@pytest.fixture
def desk(driver: FakeDriver) -> Iterator[Desk]:
    desk = Desk("auto")
    desk.start(clock.now())
    desk.until(True, True)
    yield desk
    desk.watch.stop()
    desk.loop._epoll.close()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Levels and actions of what is logged."""
    lines: list[tuple[str, str]] = []

    def write(level: str, _sentence: str, action: str, _ids: dict[str, Any]) -> None:
        lines.append((level, action))

    monkeypatch.setattr(log, "_write", write)
    return lines


# ------------------------------------------------------------ simulated


def test_simulated_gpus_are_looked_at_when_asked_for(simulated: Desk) -> None:
    assert len(simulated.published) == 1
    simulated.watch.look(later(1))
    assert len(simulated.published) == 1, "in the middle of a turn nothing may change"
    assert min(d for d in simulated.watch.deadlines() if d is not None) == later(1).boot
    simulated.watch.expire(later(1))
    assert simulated.published[-1].taken > later(1).boot
    assert [d for d in simulated.watch.deadlines() if d is not None] == []


def test_a_job_that_has_begun_or_ended_is_told_by_itself(simulated: Desk) -> None:
    assert simulated.watch.tell(0, NOW, processes=((os.getpid(), 90),))
    simulated.watch.expire(NOW)
    assert simulated.gpus()[0].measured == ()
    simulated.leaders = {os.getpid(): 42}
    assert 0.0 in simulated.watch.deadlines()
    simulated.watch.expire(later(1))
    simulated.watch.expire(later(1))
    assert simulated.gpus()[0].measured == ((42, 90),)
    assert 0.0 not in simulated.watch.deadlines()


def test_a_simulated_gpu_that_hangs_goes_alone(simulated: Desk) -> None:
    assert simulated.watch.tell(1, NOW, hang=True)
    simulated.watch.expire(later(ANSWER_LIMIT - 1))
    assert simulated.well() == [True, True]
    simulated.watch.expire(later(ANSWER_LIMIT))
    assert simulated.well() == [False, False]
    simulated.watch.expire(later(ANSWER_LIMIT + 1))
    assert simulated.well() == [True, False]
    assert simulated.gpus()[1].note.startswith("the GPU driver does not answer")
    simulated.watch.tell(1, later(12), hang=False)
    simulated.watch.expire(later(12))
    assert simulated.well() == [True, True]


def test_a_simulated_fault_is_forgiven(simulated: Desk) -> None:
    simulated.watch.tell(0, NOW, fault="Xid 79: fallen off the bus")
    simulated.watch.expire(NOW)
    broken = simulated.gpus()[0]
    assert broken.fault == "Xid 79: fallen off the bus"
    simulated.watch.forgive(broken.uuid, later(1))
    simulated.watch.expire(later(1))
    assert simulated.gpus()[0].fault == ""


def test_auto_without_a_gpu_simulates_like_simulated(driver: FakeDriver, simulated: Desk) -> None:
    driver.show()
    desk = Desk("auto")
    desk.start(clock.now())
    desk.until(True, True)
    assert desk.watch.tell(0, clock.now(), used=7)
    eventually(desk.turn, until=lambda gpus: gpus[0].used == 7)
    assert list(desk.loop._handlers) == []
    desk.watch.stop()
    desk.loop._epoll.close()


# ------------------------------------------------------------ NVML


def test_real_gpus_are_not_told_what_to_be(desk: Desk) -> None:
    assert not desk.watch.tell(0, clock.now(), used=7)


def test_a_gpu_that_hangs_goes_alone(
    desk: Desk, driver: FakeDriver, said: list[tuple[str, str]]
) -> None:
    driver.show(*TWO, hang("DeviceGetTemperature", 0))
    desk.until(False, True)
    out = desk.gpus()[0]
    assert out.uuid == "GPU-a"
    assert out.note == (
        "the GPU driver does not answer when asked about it (nvmlDeviceGetTemperature)"
    )
    assert said == [("error", "gpu-hangs")]


def test_a_gpu_that_hung_comes_back(
    desk: Desk, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "PAUSE", 0.0)
    driver.show(*TWO, hang("DeviceGetTemperature", 0))
    desk.until(False, True)
    driver.show(*TWO)
    desk.watch.stop()  # the stub never returns from a call: end the one that asks again
    desk.start(clock.now())
    desk.until(True, True)


@pytest.fixture
def cold(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A watch that is not started yet."""
    monkeypatch.setattr(link, "START_LIMIT", 2.0)
    desk = Desk("nvml")
    yield desk
    desk.watch.stop()
    desk.loop._epoll.close()


def test_nothing_is_said_until_something_is_known(cold: Desk, driver: FakeDriver) -> None:
    driver.show(*TWO, hang("DeviceGetTemperature", 1))
    cold.start(clock.now())
    cold.until(True, False)
    assert [inventory.backend for inventory in cold.published] == ["nvml"]


def test_that_nothing_is_known_is_said_in_the_end(
    cold: Desk, driver: FakeDriver, said: list[tuple[str, str]]
) -> None:
    driver.show(*TWO, hang("DeviceGetCount_v2", -1))
    start = clock.now()
    cold.start(start)
    eventually(lambda: (cold.turn(), cold.published)[1])
    assert clock.now().boot - start.boot >= link.START_LIMIT
    assert (cold.published[0].backend, cold.gpus()) == ("none", [])
    assert ("error", "gpus-unknown") in said
    driver.show(*TWO)
    cold.until(True, True)


def test_a_driver_that_hangs_altogether_blames_no_gpu(
    desk: Desk, driver: FakeDriver, said: list[tuple[str, str]]
) -> None:
    driver.show(*TWO, hang("DeviceGetCount_v2", -1))
    notes = {one.note for one in desk.until(False, False)}
    assert notes == {"the GPU driver does not answer"}
    assert said == [("error", "monitor-lost")]
    driver.show(*TWO)
    desk.until(True, True)


def test_a_library_that_is_replaced_is_no_error(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str]]
) -> None:
    new = build(tmp_path_factory.mktemp("new"))
    new.rename(Path(os.environ["LD_LIBRARY_PATH"], new.name))
    before = len(desk.published)
    eventually(desk.turn, until=lambda _: len(desk.published) > before and not any(desk.well()))
    assert desk.gpus()[0].note == "the GPU driver was replaced and is asked anew"
    desk.until(True, True)
    assert said == [("info", "driver-replaced")]


def test_a_monitor_that_dies_is_replaced(desk: Desk, said: list[tuple[str, str]]) -> None:
    process = desk.watch._monitor
    assert isinstance(process, MonitorLink)
    os.kill(process.pid, 9)
    desk.until(False, False)
    assert said == [("error", "monitor-lost")]
    desk.until(True, True)


def test_a_gpu_on_which_two_monitors_crash_is_left_out(simulated: Desk) -> None:
    crash = Failure("died", Call(1, "nvmlDeviceGetName"))
    simulated.watch._blame(crash)
    assert simulated.watch._memory.skipped == {}
    simulated.watch._blame(Failure("died", Call(0, "nvmlDeviceGetName")))
    simulated.watch._blame(crash)
    assert simulated.watch._memory.skipped == {}
    simulated.watch._blame(crash)
    note = "the GPU driver fails when asked about it (nvmlDeviceGetName)"
    assert simulated.watch._memory.skipped == {1: note}
