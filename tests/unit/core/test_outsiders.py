"""Processes that belong to no job: told of once, ended where the policy says so; leftovers too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.effects import KillProcess
from mgpu.core.outsiders import kills
from mgpu.core.policy import Policy
from mgpu.model.events import Erased, Recorded
from mgpu.model.gpu import Gpu, Inventory, Process
from mgpu.model.records import Drain, Ignored, Outsider, Record
from mgpu.testing.builders import Desk, a_gpu, a_spec

EVE = 1005
KILLING = Policy(outsiders="kill", outsider_grace=60.0, min_uid=1000, unmanaged_ignore=512)
STRANGER = Process(44, 700, EVE, 0, 9)


def used(*processes: Process, index: int = 0) -> Gpu:
    memory = sum(max(0, process.memory) for process in processes)
    outside = sum(max(0, process.memory) for process in processes if not process.job)
    return replace(a_gpu(index, outside=outside), used=memory, processes=processes)


def look(desk: Desk, *gpus: Gpu) -> None:
    """The GPUs are looked at a second from now."""
    desk.wait(1)
    desk.world.set_inventory(Inventory("nvml", gpus, taken=desk.now.boot))
    desk.run()


def a_desk(*processes: Process, policy: Policy = KILLING) -> Desk:
    desk = Desk(policy=policy)
    look(desk, used(*processes))
    return desk


def known(desk: Desk) -> list[int]:
    return [one.pid for one in desk.world.records.all(Outsider)]


@pytest.mark.parametrize(
    ("outsiders", "pids"), [("avoid", []), ("ignore", []), ("report", [44]), ("kill", [44])]
)
def test_outsiders_are_noted_where_the_policy_asks_for_it(outsiders: str, pids: list[int]) -> None:
    desk = a_desk(STRANGER, policy=replace(KILLING, outsiders=outsiders))
    assert known(desk) == pids


def test_an_outsider_is_noted_once_and_forgotten_when_it_is_gone() -> None:
    desk = a_desk(STRANGER, policy=replace(KILLING, outsiders="report"))
    assert desk.log == [Recorded(desk.now, 0, Outsider(44, 9, EVE, "GPU-0", 700, desk.now.boot))]
    look(desk, used(STRANGER._replace(memory=100)))
    look(desk, used(STRANGER._replace(memory=900)))
    assert len(desk.log) == 1
    look(desk, used(STRANGER._replace(ticks=10)))  # another process of that number
    assert known(desk) == [44]
    look(desk, used())
    assert desk.log[-1] == Erased(desk.now, 0, "Outsider", "44.10")
    assert known(desk) == []


@pytest.mark.parametrize(
    "process",
    [
        STRANGER._replace(memory=512),
        STRANGER._replace(memory=-1),
        STRANGER._replace(job=7),
        STRANGER._replace(ticks=0),
        STRANGER._replace(uid=-1),
    ],
    ids=["small", "untold", "of a job", "without a beginning", "gone"],
)
def test_who_is_not_in_the_way(process: Process) -> None:
    assert known(a_desk(process)) == []


def test_who_uses_a_gpu_that_jobs_do_not_get_is_not_in_the_way() -> None:
    desk = Desk(policy=KILLING)
    desk.world.records.put(Drain("GPU-0", "mine today", 0, 0.0))
    look(desk, used(STRANGER))
    assert known(desk) == []


def test_an_outsider_is_killed_after_the_grace() -> None:
    desk = a_desk(STRANGER)
    desk.wait(59)
    assert kills(desk.world, desk.now) == []
    desk.wait(1)
    assert kills(desk.world, desk.now) == [KillProcess(44, 9, EVE, "outsider")]


@pytest.mark.parametrize("how", ["drained", "small", "ignored"])
def test_the_grace_counts_only_while_it_is_in_the_way(how: str) -> None:
    aside, there = STRANGER, used(STRANGER)
    records: dict[str, Record] = {
        "drained": Drain("GPU-0", "mine", 0, 0.0),
        "ignored": Ignored(44, 9, 0),
    }
    desk = a_desk(STRANGER)
    if how == "small":
        there = used(aside._replace(memory=100))
    else:
        desk.apply(Recorded(desk.now, 0, records[how]))
    look(desk, there)
    assert known(desk) == []
    desk.wait(1000)
    if how != "small":
        desk.apply(Erased(desk.now, 0, type(records[how]).__name__, records[how].key))
    look(desk, used(STRANGER))
    assert kills(desk.world, desk.now) == []
    desk.wait(59)
    assert kills(desk.world, desk.now) == []
    desk.wait(1)
    assert [kill.pid for kill in kills(desk.world, desk.now)] == [44]


def test_reported_outsiders_are_not_killed() -> None:
    desk = a_desk(STRANGER, policy=replace(KILLING, outsiders="report"))
    desk.wait(1000)
    assert kills(desk.world, desk.now) == []


def test_system_accounts_are_noted_and_not_killed() -> None:
    desk = a_desk(STRANGER._replace(uid=999))
    desk.wait(1000)
    assert known(desk) == [44]
    assert kills(desk.world, desk.now) == []


def test_an_ignored_process_is_not_killed() -> None:
    desk = a_desk(STRANGER)
    desk.apply(Recorded(desk.now, 0, Ignored(44, 9, 0)))
    desk.wait(1000)
    assert kills(desk.world, desk.now) == []
    desk.run()
    assert known(desk) == []


def test_who_has_come_down_is_not_killed() -> None:
    desk = a_desk(STRANGER)
    look(desk, used(STRANGER._replace(memory=400)))
    desk.wait(1000)
    assert kills(desk.world, desk.now) == []


# -- leftovers -------------------------------------------------------------------------------------


def test_what_a_job_left_is_killed_at_once() -> None:
    desk = Desk(policy=Policy(cleaning=True))
    look(desk, used(), used(index=1))
    desk.submit(a_spec(2))
    desk.run()
    desk.launched(1)
    left = Process(77, 300, EVE, 1, 5)
    look(desk, used(left), used(left, index=1))
    assert kills(desk.world, desk.now) == [], "its job runs"
    desk.end(1)
    desk.run()
    assert kills(desk.world, desk.now) == [], "it was seen before the end"
    look(desk, used(left), used(left, index=1))
    assert kills(desk.world, desk.now) == [KillProcess(77, 5, EVE, "leftover", 1)]
    look(desk, used(), used(index=1))
    assert kills(desk.world, desk.now) == []


def test_what_was_left_before_the_scheduler_began_is_killed_at_the_second_look() -> None:
    desk = Desk(policy=Policy(cleaning=True))
    left = used(Process(77, 300, EVE, 5, 5))
    look(desk, left)
    assert kills(desk.world, desk.now) == []
    look(desk, left)
    assert kills(desk.world, desk.now) == [KillProcess(77, 5, EVE, "leftover", 5)]


def test_what_system_accounts_left_is_not_killed() -> None:
    desk = Desk(policy=Policy(cleaning=True))
    left = used(Process(77, 300, 999, 5, 5), Process(78, 300, -1, 5, 5), Process(79, 1, EVE, 5, 0))
    look(desk, left)
    look(desk, left)
    assert kills(desk.world, desk.now) == []


def test_two_processes_that_had_one_number_while_the_gpus_were_read_are_two() -> None:
    desk = Desk(policy=KILLING)
    later = STRANGER._replace(ticks=STRANGER.ticks + 1)
    look(desk, used(STRANGER), used(later, index=1))
    assert known(desk) == [44, 44]
