"""Processes on GPUs that belong to no job: what the log says, what the launcher is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mgpu.model.gpu import Inventory, Process
from mgpu.model.records import Outsider
from mgpu.system.log import log
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import Rig

EVE = 1005
STRANGER = Process(44, 700, EVE, 0, 9)
LEFT = Process(77, 300, EVE, 5, 5)


def look(rig: Rig, *processes: Process) -> None:
    """The monitor sees these on gpu0, a second later."""
    rig.clock.forward(1)
    world = rig.scheduler._engine.world
    first, *others = world.inventory.gpus
    used = sum(process.memory for process in processes)
    gpu = replace(first, processes=processes, used=used, outside=used)
    seen = Inventory("nvml", (gpu, *others), taken=rig.clock.at.boot)
    rig.scheduler._inventory(seen)
    rig.settle()


def test_an_outsider_is_told_of_once(
    make_rig: Callable[..., Rig], capfd: pytest.CaptureFixture[str]
) -> None:
    rig = make_rig(gpus__outsiders="report")
    log.set_level("warning")
    try:
        for _ in range(3):
            look(rig, STRANGER)
    finally:
        log.set_level("error")
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "outsider" in line]
    assert line.endswith(f"action=outsider-seen gpu=gpu0 pid=44 uid={EVE} memory=700")
    assert [one.pid for one in rig.store.load().records if isinstance(one, Outsider)] == [44]


def test_the_launcher_is_asked_to_kill_when_the_grace_is_over_and_once_for_each_look(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(gpus__outsiders="kill", gpus__outsider_grace=60)
    world, pid, uid = rig.scheduler._engine.world, os.getpid(), os.getuid()
    world.set_policy(replace(world.policy, min_uid=uid))

    def orders() -> list[Map]:
        return rig.launcher.heard("kill_process")

    def tell(*processes: list[int]) -> None:
        told = {"op": "gpu_simulate", "gpu": "0", "processes": [*processes]}
        assert "ok" in rig.client(0, admin=True).one(told)

    tell([pid, 700])
    rig.wait(59)
    assert orders() == []
    rig.wait(1)
    (order,) = orders()
    assert (order["pid"], order["uid"], order["why"], order["job"]) == (pid, uid, "outsider", 0)
    assert order["ticks"] > 0
    rig.wait(100)
    assert len(orders()) == 1
    tell([pid, 700])
    assert len(orders()) == 2
    tell()
    rig.wait(100)
    assert len(orders()) == 2


def test_what_a_job_left_is_killed(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    log.set_level("warning")
    try:
        look(rig, LEFT)
        look(rig, LEFT)
    finally:
        log.set_level("error")
    order = {"op": "kill_process", "pid": 77, "ticks": 5, "uid": EVE, "why": "leftover", "job": 5}
    assert rig.launcher.heard("kill_process") == [order]
    assert "action=leftover-kill pid=77 ticks=5 uid=1005" in capfd.readouterr().err


def test_a_fault_is_a_line_in_the_log(
    make_rig: Callable[..., Rig], capfd: pytest.CaptureFixture[str]
) -> None:
    rig = make_rig()
    world = rig.scheduler._engine.world
    gpus = [replace(gpu, fault="Xid 48: double bit error") for gpu in world.inventory.gpus]
    rig.scheduler._inventory(world.inventory._replace(gpus=tuple(gpus)))
    rig.settle()
    lines = [line for line in capfd.readouterr().err.splitlines() if "gpu-fault" in line]
    assert [line.split("action=")[1] for line in lines] == [
        'gpu-fault gpu=gpu0 fault="Xid 48: double bit error"',
        'gpu-fault gpu=gpu1 fault="Xid 48: double bit error"',
    ]


def seen(rig: Rig, **facts: Any) -> None:
    """The monitor sees the first GPU like that."""
    world = rig.scheduler._engine.world
    first, *others = world.inventory.gpus
    gpus = (replace(first, **facts), *others)
    rig.scheduler._inventory(Inventory("nvml", gpus, taken=rig.clock.at.boot))
    rig.settle()


def test_a_fault_of_a_drained_gpu_is_a_line_in_the_log(
    rig: Rig, capfd: pytest.CaptureFixture[str]
) -> None:
    rig.client(0, admin=True).one({"op": "gpu_drain", "gpus": ["0"], "reason": "new fans"})
    seen(rig, fault="Xid 79: fallen off the bus")
    answer = rig.client(0, admin=True).one({"op": "gpu_resume", "gpus": ["0"]})["ok"]
    assert answer["note"].startswith("gpu0 is still drained for its fault: Xid 79")
    lines = [line for line in capfd.readouterr().err.splitlines() if "gpu-fault" in line]
    assert [line.split("action=")[1] for line in lines] == [
        'gpu-fault gpu=gpu0 fault="Xid 79: fallen off the bus"'
    ]
    second = rig.client(0, admin=True).one({"op": "gpu_resume", "gpus": ["0"]})
    assert second == {"ok": {"key": "gpu0"}}


def gpu_lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    lines = capfd.readouterr().err.splitlines()
    return [line.split("action=")[1] for line in lines if "action=gpu-" in line]


def test_a_gpu_that_becomes_dirty_and_clean_is_told_of_once(
    rig: Rig, capfd: pytest.CaptureFixture[str]
) -> None:
    job = rig.submit(gpus=2)
    rig.supervisor(job).runs()
    rig.client(0, admin=True).one({"op": "gpu_simulate", "gpu": "0", "used": 3000})
    rig.supervisor(job).ends()
    log.set_level("info")
    try:
        for _ in range(3):
            rig.wait(31)
        root = rig.client(0, admin=True)
        root.one({"op": "gpu_drain", "gpus": ["0"], "reason": "x"})
        root.one({"op": "gpu_resume", "gpus": ["0"]})
        root.one({"op": "gpu_resume", "gpus": ["0"]})
    finally:
        log.set_level("error")
    why = f"3000 MiB in use after the end of job {job}"
    assert gpu_lines(capfd) == [f'gpu-dirty gpu=gpu0 why="{why}"', "gpu-clean gpu=gpu0"]


def test_a_process_that_cannot_be_killed_keeps_its_gpus_and_is_told_of(
    rig: Rig, capfd: pytest.CaptureFixture[str]
) -> None:
    job, later = (rig.submit(gpus=2) for _ in range(2))
    rig.supervisor(job).runs()
    log.set_level("info")
    for _ in range(2):
        rig.supervisor(job).says("running", pid=81, ticks=7, stuck=[81])
    assert rig.active()[later].state == "PENDING"
    why = f"pid 81 of job {job} cannot be killed"
    rows = rig.client(0, admin=True).one({"op": "gpu_list"})["ok"]["gpus"]
    assert [(row["state"], row["note"]) for row in rows] == [("dirty", f"dirty: {why}")] * 2
    rig.supervisor(job).ends()
    assert rig.active()[later].state == "RUNNING"
    names = ("gpu0", "gpu1")
    told = [f'gpu-dirty gpu={name} why="{why}"' for name in names]
    assert gpu_lines(capfd) == [*told, *(f"gpu-clean gpu={name}" for name in names)]


def test_a_gpu_that_is_not_heard_of_is_told_of_once(
    rig: Rig, capfd: pytest.CaptureFixture[str]
) -> None:
    log.set_level("info")
    try:
        rig.client(0, admin=True).one({"op": "gpu_simulate", "gpu": "0", "hang": True})
        for _ in range(3):
            rig.wait(12)
        rig.client(0, admin=True).one({"op": "gpu_simulate", "gpu": "0", "hang": False})
    finally:
        log.set_level("error")
    why = "the GPU driver does not answer when asked about it (simulated call)"
    assert gpu_lines(capfd)[1:] == [f'gpu-silent gpu=gpu0 why="{why}"', "gpu-answers gpu=gpu0"]


def test_processes_of_system_accounts_are_spared(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(gpus__outsiders="kill", gpus__outsider_grace=0, access__min_uid=EVE + 1)
    look(rig, STRANGER)
    look(rig, STRANGER)
    assert rig.launcher.heard("kill_process") == []
