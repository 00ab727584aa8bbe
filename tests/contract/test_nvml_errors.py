"""Every call of the driver that a monitor makes fails in every way, and does not return."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mgpu.gpus import link, probes
from mgpu.gpus.base import Failure, Monitor
from mgpu.gpus.link import MonitorLink
from mgpu.gpus.memory import Memory
from mgpu.gpus.page import Call
from mgpu.model.gpu import Gpu, Inventory
from tests.lib.fakenvml import FakeDriver, fail, gpu, hang, instance, nvlink, process
from tests.lib.monitors import NOW, Open, ask, next_from, until
from tests.lib.waiting import eventually

#: All errors of nvml.h but success, and one that it does not have.
CODES = [*range(1, 31), 999, 77]

#: What is asked about one GPU.
CALLS = [
    "DeviceGetHandleByIndex_v2",
    "DeviceGetHandleByPciBusId_v2",
    "DeviceGetUUID",
    "DeviceGetPciInfo_v3",
    "DeviceGetName",
    "DeviceGetCudaComputeCapability",
    "DeviceGetMinorNumber",
    "DeviceGetMigMode",
    "DeviceGetMemoryInfo_v2",
    "DeviceGetComputeRunningProcesses_v3",
    "DeviceGetGraphicsRunningProcesses_v3",
    "DeviceGetUtilizationRates",
    "DeviceGetTemperature",
    "DeviceGetPowerUsage",
    "DeviceGetEnforcedPowerLimit",
    "DeviceGetSupportedEventTypes",
    "DeviceRegisterEvents",
    "DeviceGetRemappedRows",
    "DeviceGetTotalEccErrors",
    "DeviceGetFieldValues",
    "DeviceGetNvLinkState",
    "DeviceGetNvLinkRemotePciInfo_v2",
    "DeviceGetNvLinkRemoteDeviceType",
]
#: What is asked about one GPU that no NVLink joins with the other.
APART_CALLS = ["DeviceGetTopologyCommonAncestor"]
#: What is asked about one GPU in MIG mode besides, and about its instance.
MIG_CALLS = [
    "DeviceGetMaxMigDeviceCount",
    "DeviceGetMigDeviceHandleByIndex",
]
INSTANCE_CALLS = ["DeviceGetUUID", "DeviceGetName", "DeviceGetAttributes_v2"]
INSTANCE_CALLS += ["DeviceGetGpuInstanceId", "DeviceGetComputeInstanceId"]
INSTANCE_CALLS += ["DeviceGetMemoryInfo_v2", "DeviceGetComputeRunningProcesses_v3"]
#: What is asked about none.
GENERAL = [
    "InitWithFlags",
    "SystemGetDriverVersion",
    "DeviceGetCount_v2",
    "EventSetCreate",
    "EventSetWait_v2",
]
PAIR = (
    gpu("GPU-a", 143771, 1024),
    gpu("GPU-b", 24564, 50, name="NVIDIA L4"),
    nvlink(0, 0, 17),
    nvlink(1, 0, 16),
    process(0, 1, 90),
    process(1, 1, 40),
)
APART = (*PAIR[:2], *PAIR[4:])
MIG = (
    gpu("GPU-a", 40960, name="NVIDIA A100"),
    *PAIR[1:2],
    instance(0, "MIG-1", 1, 4864, 0, "NVIDIA A100"),
    process(1, 1, 40),
)
INSTANCE = 1000


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs for a fifth of a second hangs."""
    monkeypatch.setattr(link, "ANSWER_LIMIT", 0.2)
    monkeypatch.setattr(link, "START_LIMIT", 0.6)


def is_well(one: Gpu) -> bool:
    """Whether a GPU is as it is shown."""
    seen = (one.uuid, one.available, one.note, one.used, one.fault)
    return seen == ("GPU-b", True, "", 50, "") and [p.memory for p in one.processes] == [40]


def has_a_reason(one: Gpu) -> bool:
    """Whether it is available, or says why it is not."""
    return one.available != one.note.startswith("NVML: ")


def test_all_calls_are_in_the_lists_here(
    driver: FakeDriver, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    monkeypatch.setenv("FAKE_NVML_CALLS", str(calls))
    for shown in (PAIR, APART, MIG):
        driver.show(*shown)
        ask(opened("nvml"))
    called = {tuple(line.split()) for line in calls.read_text().splitlines()}
    about_one = {f"nvml{name}" for name in (*CALLS, *APART_CALLS, *MIG_CALLS, *INSTANCE_CALLS)}
    assert {name for about, name in called if about == "1"} == about_one
    assert {name for about, name in called if about == "0"} == {f"nvml{name}" for name in GENERAL}


ABOUT_ONE = [
    *((PAIR, 0, call) for call in CALLS),
    *((APART, 0, call) for call in APART_CALLS),
    *((MIG, 0, call) for call in MIG_CALLS),
    *((MIG, INSTANCE, call) for call in INSTANCE_CALLS),
]


@pytest.mark.parametrize(("shown", "index", "call"), ABOUT_ONE)
def test_a_call_that_fails_about_one_gpu_leaves_the_others_right(
    shown: tuple[str, ...], index: int, call: str, driver: FakeDriver, opened: Open
) -> None:
    driver.show(*shown, fail(call, index, CODES[-1]))
    monitor = opened("nvml")
    assert isinstance(monitor, MonitorLink)
    assert is_well(ask(monitor).gpus[-1])
    for code in CODES:
        driver.show(*shown, fail(call, index, code))
        *failing, well = ask(monitor).gpus
        assert is_well(well), code
        assert all(map(has_a_reason, failing)), code
    driver.show(*shown)
    assert all(one.available for one in ask(monitor).gpus)
    assert os.path.exists(f"/proc/{monitor.pid}")


@pytest.mark.parametrize("call", GENERAL)
def test_a_call_that_fails_about_no_gpu_is_made_again(
    call: str, driver: FakeDriver, opened: Open
) -> None:
    driver.show(*PAIR)
    monitor = opened("nvml")
    assert is_well(ask(monitor).gpus[1])
    for code in CODES:
        driver.show(*PAIR, "init 1", fail(call, -1, code))
        ask(monitor)
        driver.show(*PAIR, fail(call, -1, code))
        gpus = ask(monitor).gpus
        assert [one.uuid for one in gpus] == ["GPU-a", "GPU-b"], code
        assert all(map(has_a_reason, gpus)) or code == 18, code
    driver.show(*PAIR)
    assert is_well(ask(monitor).gpus[1])


def followed(opened: Open, memory: Memory, count: int) -> tuple[list[Call], Inventory]:
    """Open monitors until one answers; what the others hung in, and the answer."""
    calls: list[Call] = []
    for _ in range(count):
        monitor = opened("nvml", memory=memory)
        seen = eventually(lambda m=monitor: (m.receive(NOW), m.expired(NOW)), until=any)  # type: ignore[misc]
        if seen[0] is not None:
            return calls, seen[0]
        monitor.close()
        failure = monitor.failure()
        assert failure.kind == "hung"
        assert failure.call is not None
        memory.skipped[failure.call.slot] = f"hangs in {failure.call.function}"
        calls.append(failure.call)
    raise AssertionError(f"no answer from {count} monitors")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("shown", "index", "call"), ABOUT_ONE)
def test_a_call_that_hangs_names_the_gpu_and_the_next_monitor_leaves_it_out(
    shown: tuple[str, ...], index: int, call: str, driver: FakeDriver, opened: Open
) -> None:
    driver.show(*shown, hang(f"{call}", index))
    (hung,), inventory = followed(opened, Memory(), 2)
    assert (hung.slot, f"nvml{call}".startswith(hung.function)) == (0, True)
    out, well = inventory.gpus
    assert (out.available, out.note) == (False, f"hangs in {hung.function}")
    assert is_well(well)


@pytest.mark.usefixtures("quick")
def test_two_gpus_that_hang_are_both_left_out(driver: FakeDriver, opened: Open) -> None:
    third = gpu("GPU-c", 1000)
    driver.show(*PAIR, third, hang("DeviceGetUUID", 0), hang("DeviceGetTemperature", 2))
    calls, inventory = followed(opened, Memory(), 3)
    assert [call.slot for call in calls] == [0, 2]
    assert [one.available for one in inventory.gpus] == [False, True, False]
    assert [one.index for one in inventory.gpus] == [0, 1, 2]


@pytest.mark.usefixtures("quick")
def test_a_gpu_that_hangs_is_still_known(driver: FakeDriver, opened: Open) -> None:
    memory = Memory()
    driver.show(*PAIR)
    monitor = opened("nvml", memory=memory)
    next_from(monitor)
    driver.show(*PAIR, hang("DeviceGetTemperature", 0))
    eventually(lambda: (monitor.receive(NOW), monitor.expired(NOW))[1])
    monitor.close()
    assert monitor.failure() == Failure("hung", Call(0, "nvmlDeviceGetTemperature"))
    memory.skipped[0] = "hangs"
    out = next_from(opened("nvml", memory=memory)).gpus[0]
    assert (out.uuid, out.name, out.available, out.note) == ("GPU-a", "NVIDIA H200", False, "hangs")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("call", ["InitWithFlags", "DeviceGetCount_v2", "EventSetWait_v2"])
def test_a_call_about_no_gpu_that_hangs_blames_none(
    call: str, driver: FakeDriver, opened: Open
) -> None:
    driver.show(*PAIR, hang(call, -1))
    monitor = opened("nvml")
    eventually(lambda: (monitor.receive(NOW), monitor.expired(NOW))[1])
    monitor.close()
    failure = monitor.failure()
    assert failure.call is not None
    assert (failure.kind, failure.call.slot) == ("hung", -1)


def test_a_gpu_that_hung_comes_back_when_it_answers(
    driver: FakeDriver, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "PAUSE", 0.0)
    memory = Memory(skipped={0: "hangs"})
    driver.show(*PAIR, hang("DeviceGetTemperature", 0))
    monitor = opened("nvml", memory=memory)
    assert [one.available for one in next_from(monitor).gpus] == [False, True]
    for _ in range(3):
        assert not ask(monitor).gpus[0].available
    (prober,) = children(monitor)
    assert memory.skipped == {0: "hangs"}
    os.kill(prober, 9)  # the stub never returns from a call; the driver's does
    driver.show(*PAIR)
    assert until(monitor, lambda seen: seen.gpus[0].available).gpus[0].uuid == "GPU-a"
    assert memory.skipped == {}


def children(monitor: Monitor) -> Iterator[int]:
    """The processes that a monitor has started."""
    assert isinstance(monitor, MonitorLink)
    listed = Path(f"/proc/{monitor.pid}/task/{monitor.pid}/children").read_text()
    return map(int, listed.split())
