"""Arrays that depend on others and are depended on, as a whole and task by task."""

from __future__ import annotations

from mgpu.core.dependents import End
from mgpu.core.policy import Policy
from mgpu.core.world import World
from mgpu.model.dependency import WHOLE
from mgpu.model.events import Refused
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import EPOCH, Desk
from tests.unit.core.dependents import a_desk, of_task, refusal, run, submit, told


def test_a_whole_array_has_to_be_over() -> None:
    desk = a_desk()
    array = submit(desk, tasks="0-2")
    second = submit(desk, f"afterok:{array}")
    failing = submit(desk, f"afternotok:{array}")
    started = submit(desk, f"after:{array}")
    assert len(run(desk)) == 3
    assert run(desk) == [started]
    for task in range(3):
        assert run(desk) == []
        desk.end(of_task(desk, array, task).id)
    assert run(desk) == [second]
    assert refusal(desk, failing) == f"job {array} ended COMPLETED (afternotok:{array})"


def test_one_bad_task_makes_an_array_end_badly() -> None:
    desk = a_desk()
    array = submit(desk, tasks="0-1")
    well, badly = submit(desk, f"afterok:{array}"), submit(desk, f"afternotok:{array}")
    run(desk)
    desk.end(of_task(desk, array, 0).id, code=3)
    assert run(desk) == []
    desk.end(of_task(desk, array, 1).id)
    assert run(desk) == [badly]
    assert refusal(desk, well) == f"job {array} ended FAILED (afterok:{array})"


def test_a_single_task_may_be_waited_for() -> None:
    desk = a_desk()
    array = submit(desk, tasks="0-5")
    one, two = submit(desk, f"afterok:{array}_1"), submit(desk, f"after:{array}_2")
    begun = run(desk)
    assert len(begun) == 6
    assert run(desk) == [two]
    assert told(desk, one) == f"Dependency: waits for job {array}_1 (running) to end well"
    desk.end(of_task(desk, array, 1).id)
    assert run(desk) == [one]


def test_each_task_follows_the_task_of_its_index() -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-3")
    second = submit(desk, f"aftercorr:{first}", tasks="0-3")
    run(desk)
    assert told(desk, second) == (
        f"Dependency: waits for the same task of job {first} (running) to end well"
    )
    desk.end(of_task(desk, first, 2).id)
    [third] = run(desk)
    assert desk.job(third).tasks == Tasks.only(2)
    desk.end(of_task(desk, first, 0).id, code=1)
    assert run(desk) == []
    assert desk.world.arrays.find(second, 0) is None
    for task in (1, 3):
        desk.end(of_task(desk, first, task).id)
    assert len(run(desk)) == 2
    assert [of_task(desk, second, task).state for task in (1, 2, 3)] == ["RUNNING"] * 3


def test_tasks_that_are_over_when_an_array_comes_are_followed_at_once() -> None:
    desk = a_desk()
    desk.world.next_id = 50
    known = {(9, task): End("COMPLETED" if task else "FAILED", EPOCH) for task in range(3)}
    array = submit(desk, "aftercorr:9", tasks="0-4", known=known | {(9, WHOLE): End("FAILED", 0)})
    assert len(run(desk)) == 2
    assert [of_task(desk, array, task).state for task in (1, 2)] == ["RUNNING"] * 2
    lost = sorted(e.detail for e in desk.log if isinstance(e, Refused))
    assert lost == ["array 9 has no such task (aftercorr:9)", "job 9 ended FAILED (aftercorr:9)"]


def test_a_task_that_has_no_counterpart_never_starts() -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-1")
    lonely = submit(desk, f"aftercorr:{first}", tasks="7-7")
    run(desk)
    assert refusal(desk, lonely) == f"array {first} has no such task (aftercorr:{first})"


def test_two_arrays_are_followed_task_by_task() -> None:
    desk = a_desk()
    one, two = submit(desk, tasks="0-1"), submit(desk, tasks="0-1")
    both = submit(desk, f"aftercorr:{one}:{two}", tasks="0-1")
    run(desk)
    desk.end(of_task(desk, one, 1).id)
    assert run(desk) == []
    desk.end(of_task(desk, two, 1).id)
    assert run(desk) == [of_task(desk, both, 1).id]


def test_tasks_follow_a_job_that_is_no_array_as_a_whole() -> None:
    desk = a_desk()
    first = submit(desk)
    array = submit(desk, f"aftercorr:{first}", tasks="0-1")
    run(desk)
    assert run(desk) == []
    desk.end(first)
    assert len(run(desk)) == 2
    assert desk.world.arrays.running(array) == 2


def test_a_cancelled_rest_of_an_array_is_the_end_of_its_tasks() -> None:
    desk = Desk(policy=Policy(max_gpuless=1, max_pending_per_user=0))
    first = submit(desk, tasks="0-4")
    second = submit(desk, f"aftercorr:{first}", tasks="0-4")
    third = submit(desk, f"afterany:{first}_3")
    run(desk)
    desk.cancel(first)
    desk.end(of_task(desk, first, 0).id, code=1)
    assert run(desk) == [third]
    assert not desk.world.arrays.has(second)


def test_an_array_counts_as_one_of_a_name() -> None:
    desk = a_desk()
    array = submit(desk, "singleton", tasks="0-1")
    after = submit(desk, "singleton")
    parts = run(desk)
    assert len(parts) == 2
    assert after not in parts
    desk.end(parts[0])
    assert run(desk) == []
    assert told(desk, after) == f"Dependency: waits for job {array} of the same name to end"
    desk.end(parts[1])
    assert run(desk) == [after]


def test_a_loaded_world_goes_on() -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-2")
    for text in (f"afterok:{first}", f"aftercorr:{first}", "singleton", f"after:{first}_1+1"):
        submit(desk, text, tasks="0-2" if "corr" in text else "")
    run(desk)
    jobs = sorted(desk.world.jobs.values(), key=lambda job: job.id)
    world = desk.world
    records = [record for record in world.records.take_changed().values() if record]
    desk.world = World(world.policy, jobs=jobs, next_id=world.next_id, records=records)
    for task in range(3):
        desk.end(of_task(desk, first, task).id)
    desk.wait(60)
    assert len(run(desk)) == 3 + 1 + 1


def test_an_array_has_begun_when_all_of_its_tasks_have() -> None:
    desk = Desk(policy=Policy(max_gpuless=1, max_pending_per_user=0))
    array = submit(desk, tasks="0-1")
    second = submit(desk, f"after:{array}")
    run(desk)
    desk.run()
    assert desk.job(second).needs is not None
    desk.end(of_task(desk, array, 0).id)
    run(desk)
    desk.run()
    assert desk.job(second).needs is None
