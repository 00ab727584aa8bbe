"""How much of one user may wait: conditions, groups of tasks, tasks that are to run again."""

from __future__ import annotations

import pytest

from mgpu.core.policy import Policy
from mgpu.core.requests import Hold, SetDependency, Update
from mgpu.model.errors import MgpuError
from mgpu.model.target import Target
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import UID, Desk
from tests.unit.core.dependents import needs, run, submit

TEN = "afterok:" + ":".join(map(str, range(1, 11)))
BOTH = TEN + "," + TEN.replace("afterok", "afterany")


def a_desk(pending: int = 12) -> Desk:
    """A user who has ten jobs, of which none has ended; so many may wait."""
    desk = Desk(policy=Policy(max_pending_per_user=pending, max_gpuless=0))
    submit(desk, count=10)
    return desk


def test_the_conditions_of_a_users_jobs_are_bounded() -> None:
    desk = a_desk()
    run(desk)
    submit(desk, TEN, count=12)
    with pytest.raises(MgpuError, match="limit of 12"):
        submit(desk, "afterok:1")
    desk.cancel(11)
    submit(desk, TEN)
    desk.cancel(12)
    with pytest.raises(MgpuError, match="have 110 conditions; 11 more would pass the limit of 120"):
        submit(desk, f"{TEN}:13")
    submit(desk, TEN, uid=UID + 1)
    desk.end(1)
    run(desk)
    assert desk.world.dependents.conditions_of == {UID: 99, UID + 1: 9}
    submit(desk, TEN.replace(":1:", ":13:"))


def test_a_change_counts_only_what_is_new() -> None:
    desk = a_desk()
    run(desk)
    submit(desk, TEN, count=12)
    desk.ask(SetDependency((11,), needs(TEN), {}, UID))
    desk.ask(SetDependency((11,), needs("afterany:1"), {}, UID))
    desk.ask(SetDependency((12,), needs(f"{TEN}:13"), {}, UID))
    with pytest.raises(MgpuError, match="have 112 conditions; 19 more"):
        desk.ask(SetDependency((11,), needs(BOTH), {}, UID))
    assert desk.world.dependents.conditions_of == {UID: 112}


def test_each_group_of_tasks_has_the_conditions_of_its_array() -> None:
    desk = a_desk(pending=11)
    run(desk)
    array = submit(desk, BOTH, tasks="0-99")
    for task in range(4):
        desk.ask(Hold((Target(array, Tasks.only(task)),), UID))
    with pytest.raises(MgpuError, match="have 100 conditions; 20 more"):
        desk.ask(Hold((Target(array, Tasks.only(50)),), UID))


def test_no_new_task_starts_while_too_many_wait_to_run_again() -> None:
    desk = Desk(policy=Policy(max_pending_per_user=3, max_gpuless=0))
    array = submit(desk, tasks="0-99", retries=1000)
    other = submit(desk, tasks="0-1", uid=UID + 1)
    desk.ask(Update(array, 2, UID))
    for _ in range(5):
        for number in run(desk):
            desk.end(number, code=1 if desk.job(number).array == array else 0)
    assert desk.world.pending_of == {UID: 4 + 1}
    assert not desk.world.arrays.has(other)
    assert desk.reason(array) == (
        "JobArrayTaskLimit",
        "4 jobs of u1000 wait to run again; new tasks start when fewer than 3 do",
    )
    desk.wait(30)
    again = run(desk)
    assert {desk.job(number).attempt for number in again} == {2}
    desk.end(again[0])
    desk.end(again[1])
    assert desk.world.back_of == {UID: 2}
    assert {desk.job(number).attempt for number in run(desk)} == {1}


def test_a_user_may_have_as_many_arrays_wait_as_jobs_and_they_start() -> None:
    desk = Desk(policy=Policy(max_pending_per_user=3, max_gpuless=2))
    for _ in range(3):
        submit(desk, tasks="0-1")
    ended = 0
    while started := run(desk):
        for number in started:
            desk.end(number)
        ended += len(started)
    assert ended == 6
