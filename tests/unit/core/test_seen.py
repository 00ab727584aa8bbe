"""What is seen of running jobs adds up over time, and goes into the history at the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.requests import AttemptLost
from mgpu.core.seen import STORED_EVERY
from mgpu.core.world import World
from mgpu.model.gpu import Inventory, Reading
from mgpu.model.records import Seen
from mgpu.model.runs import Run
from mgpu.testing.builders import Desk, a_gpu, a_spec


def look(desk: Desk, *loads: tuple[int, int], after: float = 10.0) -> None:
    """After a while the GPUs are looked at: (percent, MiB of job 1) of each."""
    desk.wait(after)
    gpus = [
        replace(a_gpu(index, 20000), measured=((1, mib),), reading=Reading(percent))
        for index, (percent, mib) in enumerate(loads)
    ]
    desk.world.set_inventory(Inventory("nvml", tuple(gpus), taken=desk.now.boot))
    desk.run()


def a_desk(gpus: int = 1, *, requeue: bool = True) -> Desk:
    """Job 1 runs on so many GPUs; it waited for 3 seconds."""
    desk = Desk(*[20000] * gpus)
    desk.submit(a_spec(gpus, 8000, requeue=requeue))
    desk.wait(3)
    desk.run()
    desk.launched(1)
    return desk


def only(desk: Desk) -> Run:
    (run,) = desk.world.take_closed()
    return run


def test_an_attempt_that_is_over_is_accounted_for() -> None:
    desk = a_desk(2)
    desk.wait(60)
    desk.end(1, code=3)
    run = only(desk)
    assert (run.job, run.attempt, run.state, run.final) == (1, 1, "FAILED", True)
    assert (run.code, run.signal, run.wait, run.elapsed) == (3, None, 3.0, 60.0)
    assert run.gpu_seconds == 120.0
    assert (run.gpu_mem, run.gpus) == (8000, ("GPU-0", "GPU-1"))


def test_what_a_look_shows_holds_until_the_next_one_and_until_the_end() -> None:
    desk = a_desk()
    look(desk, (100, 4000))
    look(desk, (0, 1000), after=30)
    desk.wait(10)
    desk.end(1)
    run = only(desk)
    assert (run.seen, run.peak, run.idle) == (40.0, 4000, 10.0)
    assert run.mean == pytest.approx((30 * 4000 + 10 * 1000) / 40)
    assert run.utilization == pytest.approx(75)


def test_several_gpus_are_averaged_and_idle_only_together() -> None:
    desk = a_desk(2)
    look(desk, (80, 4000), (0, 2000))
    desk.wait(10)
    desk.end(1)
    run = only(desk)
    assert (run.mean, run.utilization, run.idle, run.peak) == (3000, 40, 0, 4000)


def test_what_the_driver_does_not_tell_is_not_known() -> None:
    desk = a_desk()
    look(desk, (-1, 4000))
    desk.wait(10)
    desk.end(1)
    run = only(desk)
    assert (run.mean, run.utilization, run.idle) == (4000, None, None)


def test_a_time_in_which_the_driver_is_silent_does_not_count() -> None:
    desk = a_desk()
    look(desk, (100, 4000))
    gone = replace(a_gpu(0, 20000), available=False)
    desk.wait(10)
    desk.world.set_inventory(Inventory("nvml", (gone,), taken=desk.now.boot))
    desk.run()
    desk.wait(1000)
    desk.end(1)
    assert only(desk).seen == 10


def test_nothing_is_made_up_where_nothing_was_seen() -> None:
    desk = a_desk()
    desk.end(1)
    run = only(desk)
    assert (run.mean, run.utilization, run.idle, run.seen) == (None, None, None, 0)


def test_each_attempt_has_its_own() -> None:
    desk = a_desk()
    look(desk, (100, 4000))
    desk.wait(10)
    desk.end(1, code=None, signal=15, cause="timelimit")
    desk.run()
    desk.launched(1)
    desk.wait(20)
    desk.end(1)
    first, second = desk.world.take_closed()
    assert (first.attempt, first.state, first.final) == (1, "TIMEOUT", False)
    assert (second.attempt, second.state, second.final) == (2, "COMPLETED", True)
    assert (first.wait, second.wait) == (3.0, None)
    assert first.gpu_seconds + second.gpu_seconds == 40


def test_a_job_that_never_started_is_accounted_for_without_an_attempt() -> None:
    desk = Desk(20000)
    desk.submit()
    desk.cancel(1)
    run = only(desk)
    assert (run.attempt, run.state, run.started, run.gpu_seconds) == (0, "CANCELLED", None, 0)


def test_a_lost_attempt_is_accounted_for() -> None:
    desk = a_desk(requeue=False)
    desk.report(AttemptLost, 1)
    assert (only(desk).state, desk.world.take_closed()) == ("FAILED", [])


def test_a_restart_of_the_scheduler_loses_little() -> None:
    desk = a_desk()
    look(desk, (100, 4000))
    look(desk, (100, 4000), after=STORED_EVERY)
    look(desk, (100, 4000), after=60)
    stored = desk.world.records.all(Seen)
    assert [seen.seconds for seen in stored] == [STORED_EVERY]
    jobs = [replace(job) for job in desk.world.jobs.values()]
    desk.world = World(desk.world.policy, desk.world.inventory, jobs=jobs, records=stored)
    desk.end(1)
    run = only(desk)
    assert (run.seen, run.utilization) == (STORED_EVERY, 100)
    assert desk.world.records.all(Seen) == []


def test_the_sums_of_all_jobs_are_stored_at_once_and_seldom() -> None:
    desk = Desk(20000, 20000, 20000)
    commits = 0
    for _ in range(360):  # an hour
        if len(desk.world.jobs) < 3:  # they begin one after the other
            desk.submit(a_spec(1, 8000))
            desk.run()
            desk.launched(len(desk.world.jobs))
            desk.world.records.take_changed()
        desk.wait(10)
        gpus = tuple(replace(a_gpu(n, 20000), reading=Reading(50)) for n in range(3))
        desk.world.set_inventory(Inventory("nvml", gpus, taken=desk.now.boot))
        desk.run()
        commits += bool(desk.world.records.take_changed())
    assert commits == 3600 // STORED_EVERY - 1, "the first look comes after 10 seconds"
    assert {one.seconds for one in desk.world.records.all(Seen)} == {3480.0, 3470.0, 3460.0}
    assert not [event for event in desk.log if getattr(event, "record", None)]
