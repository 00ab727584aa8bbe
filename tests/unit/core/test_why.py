"""What is told about a waiting job, and when it is expected to start."""

from __future__ import annotations

from dataclasses import replace

from mgpu.core.forecast import Expected, forecast
from mgpu.core.policy import Policy
from mgpu.core.requests import Hold, Repeat, Requeue, Submit
from mgpu.core.why import why
from mgpu.model.dependency import AFTERANY, Condition, Dependency
from mgpu.model.gpu import Inventory
from mgpu.model.states import Reason
from mgpu.model.tasks import parse_tasks
from mgpu.testing.builders import EPOCH, UID, Desk, a_gpu, a_spec


def expected(desk: Desk, *jobs: int) -> dict[int, tuple[float, tuple[int, ...], str]]:
    found = forecast(desk.world, desk.now, jobs)
    return {n: (at.wall - EPOCH, at.gpus, at.after) for n, at in found.items()}


def test_jobs_start_when_those_before_them_have_used_up_their_limits() -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec(limit=100))
    desk.submit(a_spec(limit=300))
    desk.run()
    desk.submit(a_spec(2, limit=50))
    desk.submit(a_spec(limit=150))
    desk.submit(a_spec(limit=400))
    desk.run()
    assert expected(desk) == {3: (300, (0, 1), "2"), 4: (100, (0,), "1"), 5: (350, (0,), "3")}


def test_what_waits_for_a_job_without_limit_has_no_known_start() -> None:
    desk = Desk(1000)
    desk.submit(a_spec())
    desk.run()
    desk.submit(a_spec(limit=10))
    assert expected(desk) == {}


def test_recurring_jobs_do_not_stand_in_the_way_of_looking_ahead() -> None:
    desk = Desk(1000)
    desk.world.next_run = lambda _cron, _zone, after: after + 60
    desk.ask(Repeat(Submit(UID, "u", a_spec()), "* * * * *", ""))
    desk.submit(a_spec(limit=600))
    desk.run()
    desk.submit(a_spec(limit=10))
    assert expected(desk) == {2: (600, (0,), "1")}


def test_a_job_on_its_way_back_to_the_queue_runs_again_first() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(limit=100))
    desk.run()
    desk.launched(1)
    desk.ask(Requeue((1,), UID))
    desk.ask(Submit(UID, "u", a_spec(limit=10), needs=Dependency((Condition(AFTERANY, 1),))))
    assert expected(desk, 2) == {2: (101, (0,), "1")}


def test_looking_ahead_changes_nothing() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(limit=10), count=3)
    desk.run()
    before = {n: replace(job) for n, job in desk.world.jobs.items()}
    forecast(desk.world, desk.now)
    assert desk.world.jobs == before
    assert desk.run() == {}


def test_a_job_that_starts_at_once_is_expected_now() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(limit=10))
    assert forecast(desk.world, desk.now)[1] == Expected(EPOCH, (0,), "")


def test_the_first_in_line_knows_its_place() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(limit=100))
    desk.run()
    desk.submit(a_spec(limit=10))
    desk.run()
    desk.wait(40)
    assert why(desk.world, desk.job(2), desk.now) == [
        "Resources: needs 1 GPU for itself; free: none; gpu0 held by job 1.",
        "It is the first in line and gets gpu0 in 1:00 at the latest.",
        "Its rank: priority 0, score 0.11 (expansion +0.09, age +0.02, brevity +0.00, "
        "size +0.00, fair share +0.00).",
        "Expected to start in 1:00 on gpu0, when job 1 ends, if all run for their whole limits.",
    ]


def test_those_behind_it_know_whom_they_may_not_delay() -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec())
    desk.run()
    desk.submit(a_spec(2, limit=100))
    desk.submit(a_spec())
    desk.run()
    lines = why(desk.world, desk.job(3), desk.now)
    assert lines[0].startswith("Priority: behind job 2")
    assert lines[1] == (
        "Job 2 is the first in line and gets gpu0, gpu1 when job 1 ends, which has no time limit; "
        "nothing may delay it."
    )
    assert lines[-1].startswith("When it starts cannot be told")


def test_tasks_have_the_names_that_people_know() -> None:
    desk = Desk(1000, 1000)
    tasks = parse_tasks("1-6")[0]
    desk.ask(Submit(UID, "u", a_spec(limit=100), tasks=tasks, max_concurrent=2))
    desk.run()
    desk.submit(a_spec(limit=10), priority=9)
    last = desk.submit(a_spec(limit=10), priority=-1)
    desk.run()
    assert desk.reason(1) == (Reason.ARRAY_LIMIT, "2 tasks of array 1 run, at most 2 may")
    assert desk.reason(last - 1)[1].endswith("gpu0 held by job 1_1, gpu1 held by job 1_2")
    found = forecast(desk.world, desk.now)
    assert found[last].after in {"1_5", "1_6"}, "a task that is still to be split off"


def test_a_task_that_is_the_first_in_line_is_named() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(limit=100))
    desk.run()
    desk.ask(Submit(UID, "u", a_spec(limit=100), tasks=parse_tasks("0-9")[0]))
    last = desk.submit(a_spec(limit=100), priority=-1)
    desk.run()
    lines = why(desk.world, desk.job(last), desk.now)
    assert lines[0].startswith("Priority: behind job 2_[0-9]; needs")
    assert lines[1].startswith("Job 2_[0-9] is the first in line")


def test_who_can_release_a_held_job_is_told() -> None:
    desk = Desk(1000)
    job = desk.submit()
    desk.ask(Hold((job,), UID))
    assert why(desk.world, desk.job(job), desk.now) == [
        "JobHeldUser.",
        "Its owner and administrators can let it go on: mgpu_job release 1.",
    ]
    desk.ask(Hold((job,), UID + 1, may_any=True))
    assert why(desk.world, desk.job(job), desk.now) == [
        "JobHeldAdmin.",
        "Administrators alone can let it go on: mgpu_job release --admin 1.",
    ]


def test_a_running_job_does_not_wait() -> None:
    desk = Desk(1000)
    desk.submit()
    desk.run()
    assert why(desk.world, desk.job(1), desk.now) == ["It does not wait: it is RUNNING."]


def test_usage_is_told_as_fair_share() -> None:
    desk = Desk(1000, policy=Policy(order="fairshare"))
    desk.submit(a_spec(limit=86400))
    desk.run()
    desk.submit(a_spec(limit=10))
    (rank,) = [line for line in why(desk.world, desk.job(2), desk.now) if line.startswith("Its r")]
    assert "fair share -0.39" in rank


def test_looking_ahead_nobody_waits_for_a_gpu_to_be_seen_free() -> None:
    desk = Desk(1000, policy=Policy(cleaning=True))
    desk.submit(a_spec(limit=100))
    desk.run()
    desk.submit(a_spec(limit=10))
    assert expected(desk) == {2: (100, (0,), "1")}


def test_what_a_job_leaves_is_expected_to_go() -> None:
    desk = Desk(1000, policy=Policy(cleaning=True, unmanaged_ignore=100))
    desk.set_gpus(a_gpu(0, 1000))
    desk.submit(a_spec())
    desk.run()
    desk.launched(1)
    desk.end(1)
    desk.wait(1)
    left = replace(a_gpu(0, 1000), used=700)
    desk.world.set_inventory(Inventory("nvml", (left,), taken=desk.now.boot))
    desk.submit(a_spec(limit=10))
    desk.run()
    assert desk.reason(2)[1].endswith("gpu0 soon: 700 MiB in use after the end of job 1")
    gets = "It is the first in line and gets gpu0 as soon as what was left on gpu0 is gone."
    assert gets in why(desk.world, desk.job(2), desk.now)
    assert expected(desk) == {2: (1, (0,), "")}, "now"
