"""Arrays: one record that waits for many tasks, and what becomes of parts of it."""

from __future__ import annotations

import pytest

from mgpu.core import arrays
from mgpu.core.decide import decide
from mgpu.core.policy import Policy
from mgpu.core.requests import AttemptVanished, Cancel, SetPriority, Submit, Update
from mgpu.core.wishes import Accepted, Outcomes
from mgpu.model.errors import MgpuError
from mgpu.model.events import CancelRequested, Recorded, Split, Started, Submitted
from mgpu.model.records import Array
from mgpu.model.target import Target
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import UID, Desk, a_spec

TEN = Tasks(((0, 9, 1),))


def submit(desk: Desk, tasks: Tasks = TEN, bound: int = 0, gpus: int = 1, mem: int = 100) -> int:
    spec = a_spec(gpus, mem if gpus else None)
    reply = desk.ask(Submit(UID, "u", spec, tasks=tasks, max_concurrent=bound))
    assert isinstance(reply, Accepted)
    return reply.first


def waiting(desk: Desk) -> list[str]:
    return [str(job.tasks) for job in desk.world.jobs.values() if job.state == "PENDING"]


def test_a_large_array_is_two_events_and_one_record() -> None:
    desk = Desk(1000)
    every = Tasks(((0, 99_999, 1),))
    wish = Submit(UID, "u", a_spec(), tasks=every, max_concurrent=4)
    events, reply = decide(desk.world, wish, desk.now)
    assert [type(event) for event in events] == [Submitted, Recorded]
    desk.apply(*events)
    assert reply == Accepted(1, 1)
    assert (len(desk.world.jobs), desk.world.next_id) == (1, 2)
    assert desk.world.records.all(Array) == [Array(1, UID, 100_000, 4, first=0, last=99_999)]


def test_a_pass_splits_off_the_tasks_that_start() -> None:
    desk = Desk(250)
    submit(desk)
    assert desk.run() == {2: (0,), 3: (0,)}
    assert [type(event) for event in desk.log[1:]] == [Split, Started, Split, Started]
    assert [(job.array, str(job.tasks)) for job in desk.world.jobs.values()] == [
        (1, "2-9"), (1, "0"), (1, "1"),
    ]  # fmt: skip
    assert desk.job(2).seq == desk.job(1).seq


def test_the_last_task_starts_in_the_record_itself() -> None:
    desk = Desk(1000)
    submit(desk, Tasks(((3, 5, 2),)))
    assert list(desk.run()) == [2, 1]
    assert (str(desk.job(2).tasks), str(desk.job(1).tasks)) == ("3", "5")


def test_no_more_run_at_once_than_wanted_and_the_bound_can_change() -> None:
    desk = Desk(5000)
    array = submit(desk, bound=2)
    assert len(desk.run()) == 2
    assert desk.reason(array) == (
        "JobArrayTaskLimit",
        "2 tasks of array 1 run, at most 2 may",
    )
    assert desk.ask(Update(array, 3, UID)) == Outcomes(((array, "changed"),))
    assert len(desk.run()) == 1
    desk.ask(Update(array, 1, UID))
    desk.launched(2, 3, 4)
    desk.end(2)
    desk.end(3)
    assert desk.run() == {}
    desk.end(4)
    assert len(desk.run()) == 1
    desk.ask(Update(array, 0, UID))
    assert len(desk.run()) == 6


def test_others_pass_an_array_at_its_bound() -> None:
    desk = Desk(1000)
    submit(desk, bound=1)
    other = desk.submit(a_spec(1, 100))
    assert list(desk.run()) == [3, other]


def test_only_arrays_have_a_bound() -> None:
    desk = Desk(1000)
    plain, array = desk.submit(a_spec(1, 100)), submit(desk)
    desk.run()
    for number, hint in ((plain, "only arrays have such a bound"), (3, "name the array, 2")):
        with pytest.raises(MgpuError, match=f"job {number} is no array") as caught:
            desk.ask(Update(number, 1, UID))
        assert caught.value.hint == hint
    assert desk.ask(Update(array, 1, 2000)) == Outcomes(((array, "unknown"),))
    assert desk.ask(Update(99, 1, UID)) == Outcomes(((99, "unknown"),))


def test_tasks_that_are_named_twice_are_split_off_once() -> None:
    desk = Desk(1000)
    array = submit(desk)
    names = (Target(array, Tasks.only(3)), Target(array, Tasks(((2, 4, 1),))))
    events, reply = decide(desk.world, Cancel(names, UID), desk.now)
    assert events == [
        Split(desk.now, 1, 2, Tasks(((2, 4, 1),))),
        CancelRequested(desk.now, 2, UID),
    ]
    assert reply == Outcomes(tuple((name, "cancelled") for name in names))


def test_parts_that_make_up_the_whole_are_not_split() -> None:
    desk = Desk(1000)
    array = submit(desk)
    names = (Target(array, Tasks(((0, 4, 1),))), Target(array, Tasks(((5, 99, 1),))))
    events, _ = decide(desk.world, Cancel(names, UID), desk.now)
    assert events == [CancelRequested(desk.now, 1, UID)]


def test_the_number_of_an_array_is_all_of_it_and_that_of_a_record_one_task() -> None:
    desk = Desk(1000)
    array = submit(desk, bound=2)
    desk.run()
    assert desk.ask(Cancel((3,), UID)) == Outcomes(((3, "cancelling"),))
    assert waiting(desk) == ["2-9"]
    assert desk.ask(Cancel((array,), UID)) == Outcomes(((array, "cancelling"),))
    assert [job.state for job in desk.world.jobs.values()] == ["COMPLETING"] * 2


def test_some_tasks_get_another_priority() -> None:
    desk = Desk(150, policy=Policy(order="fifo"))
    array = submit(desk)
    name = Target(array, Tasks(((7, 20, 1),)))
    assert desk.ask(SetPriority((name,), 5, UID)) == Outcomes(((name, "changed"),))
    desk.run()
    assert waiting(desk) == ["0-6", "8-9"]


def test_ends_are_counted_and_an_array_that_is_over_is_forgotten() -> None:
    desk = Desk(150)
    array = submit(desk, Tasks(((0, 3, 1),)))
    desk.run()
    desk.launched(2)
    desk.end(2)
    desk.run()
    desk.launched(3)
    desk.end(3, code=1)
    assert desk.world.records.get(Array, array) == Array(1, UID, 4, 0, 1, 1, 0, 3)
    desk.cancel(array)
    assert desk.world.arrays.empty == {array}
    desk.run()
    assert desk.world.records.all(Array) == []
    assert desk.world.arrays.empty == set()


def test_a_task_that_could_not_start_goes_before_those_that_never_tried() -> None:
    desk = Desk(150)
    submit(desk)
    desk.run()
    desk.report(AttemptVanished, 2)
    assert list(desk.run()) == [2]


def test_an_array_counts_as_one_job_that_waits() -> None:
    desk = Desk(1000, policy=Policy(max_pending_per_user=2))
    submit(desk)
    submit(desk)
    with pytest.raises(MgpuError, match="2 of your jobs wait"):
        submit(desk)


def test_a_task_is_found_in_its_record() -> None:
    desk = Desk(1000)
    array = submit(desk, bound=2)
    desk.run()
    found = [desk.world.arrays.find(array, task) for task in (0, 1, 9)]
    assert found == [desk.job(2), desk.job(3), desk.job(1)]
    assert desk.world.arrays.find(array, 10) is None
    assert desk.world.arrays.find(99, 0) is None
    assert desk.world.arrays.running(array) == 2


def test_an_array_waits_in_a_bounded_number_of_groups() -> None:
    desk = Desk(1000)
    array = submit(desk, Tasks(((0, 99_999, 1),)))
    for group in range(arrays.MOST_GROUPS - 1):
        pair = Target(array, Tasks(((10 * group, 10 * group + 1, 1),)))
        desk.ask(SetPriority((pair,), -1 - group, UID))
    one_more = Target(array, Tasks(((99_000, 99_001, 1),)))
    with pytest.raises(MgpuError, match=r"wait in 101 groups of \d+ ranges") as caught:
        desk.ask(SetPriority((one_more,), -1, UID))
    assert (caught.value.code, caught.value.path) == ("TooLarge", "jobs")
    assert desk.ask(Cancel((one_more,), UID)) == Outcomes(((one_more, "cancelled"),))


def test_an_array_waits_in_a_bounded_number_of_ranges() -> None:
    desk = Desk(1000)
    array = submit(desk, Tasks(((0, 99_999, 1),)))
    scattered = [Target(array, Tasks(((n, n + 1, 1),))) for n in range(1, 99_000, 33)]
    with pytest.raises(MgpuError, match="would wait in 1 groups of 3001 ranges"):
        desk.ask(Cancel((*scattered,), UID))
    some = (*scattered[:1000],)
    assert desk.ask(Cancel(some, UID)) == Outcomes(tuple((name, "cancelled") for name in some))


def test_single_tasks_apart_from_their_array_count_as_waiting_jobs() -> None:
    desk = Desk(1000, policy=Policy(max_pending_per_user=3))
    array = submit(desk)
    one, two, three = (Target(array, Tasks.only(n)) for n in (1, 2, 3))
    desk.ask(SetPriority((one,), -1, UID))
    desk.ask(SetPriority((two,), -2, UID))
    with pytest.raises(MgpuError, match="3 jobs of the owner wait") as caught:
        desk.ask(SetPriority((three,), -3, UID))
    assert caught.value.code == "LimitReached"
    desk.ask(Cancel((three,), UID))
