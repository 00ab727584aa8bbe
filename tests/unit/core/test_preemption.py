"""Jobs of preemptible classes run on what is idle, and leave for those that outrank them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mgpu.core.extension import LEAD, SLICE, extensions, next_change
from mgpu.core.policy import Policy, QosClass
from mgpu.core.requests import Cancel
from mgpu.core.schedule import next_deadline, outlook, schedule
from mgpu.model import states
from mgpu.model.events import Preempted
from mgpu.model.job import JobSpec, Stopping
from mgpu.model.states import Reason
from mgpu.testing.builders import UID, Desk, a_spec

CLASSES = {
    "": QosClass("normal", priority=0),
    "idle": QosClass("idle", priority=-100, preemptible=True, min_run=60),
    "urgent": QosClass("urgent", priority=100),
}
POLICY = Policy(classes=CLASSES)


def spec(gpus: int = 1, mem: int | None = None, qos: str = "idle", **fields: Any) -> JobSpec:
    return replace(a_spec(gpus, mem), qos=qos, **fields)


def a_desk(*totals: int, policy: Policy = POLICY) -> Desk:
    return Desk(*totals, policy=policy)


def running(desk: Desk, *specs: JobSpec) -> list[int]:
    jobs = [desk.submit(one) for one in specs]
    assert sorted(desk.run()) == jobs
    desk.launched(*jobs)
    return jobs


def preempted(desk: Desk) -> list[int]:
    before = len(desk.log)
    desk.run()
    return [event.job for event in desk.log[before:] if isinstance(event, Preempted)]


def test_a_job_that_outranks_takes_the_place_of_an_idle_one() -> None:
    desk = a_desk(1000)
    (idle,) = running(desk, spec())
    normal = desk.submit(spec(qos=""))
    desk.wait(60)
    assert preempted(desk) == [idle]
    phase = desk.job(idle).phase
    assert isinstance(phase, Stopping)
    assert phase.preempted == normal
    assert desk.reason(normal) == (
        Reason.PREEMPTING,
        "needs 1 GPU for itself; free: none; gpu0 held by job 1; job 1 leaves for it",
    )
    job = desk.end(idle, None, 15, cause="cancel")
    assert (job.state, job.restarts) == (states.PENDING, 1)
    assert desk.run() == {normal: (0,)}


def test_nobody_leaves_before_the_minimum_run_time() -> None:
    desk = a_desk(1000)
    running(desk, spec())
    desk.submit(spec(qos=""))
    desk.wait(59)
    assert preempted(desk) == []
    desk.wait(1)
    assert preempted(desk) == [1]


def test_it_is_asked_of_each_only_once() -> None:
    desk = a_desk(1000)
    running(desk, spec())
    desk.submit(spec(qos=""))
    desk.wait(60)
    assert preempted(desk) == [1]
    assert preempted(desk) == []


def test_those_leave_that_lose_the_least_work() -> None:
    desk = a_desk(1000, 1000)
    (old,) = running(desk, spec())
    desk.wait(100)
    (young,) = running(desk, spec())
    desk.wait(60)
    desk.submit(spec(qos=""))
    assert preempted(desk) == [young]
    desk.submit(spec(qos=""))
    assert old not in preempted(desk)  # the first one in line has not got its place yet


def test_nobody_leaves_where_it_would_not_help() -> None:
    desk = a_desk(1000, 1000)
    running(desk, spec(), spec(qos=""))
    desk.wait(100)
    desk.submit(spec(2, qos=""))
    assert preempted(desk) == []


def test_a_job_of_the_same_class_or_one_that_may_not_be_requeued_stays() -> None:
    desk = a_desk(1000, 1000)
    running(desk, spec(), spec(requeue=False))
    desk.wait(100)
    desk.submit(spec(2, qos="idle"))
    assert preempted(desk) == []
    desk.submit(spec(2, qos="urgent"))
    assert preempted(desk) == []


def test_only_as_many_leave_a_shared_gpu_as_needed() -> None:
    desk = a_desk(1000)
    running(desk, spec(1, 400), spec(1, 400))
    desk.wait(100)
    desk.submit(spec(1, 500, qos=""))
    assert len(preempted(desk)) == 1


def test_the_scheduler_wakes_when_the_minimum_run_time_is_over() -> None:
    desk = a_desk(1000)
    (idle,) = running(desk, spec())
    desk.wait(10)
    desk.submit(spec(qos=""))
    assert preempted(desk) == []
    assert next_deadline(desk.world) == desk.now.boot + 50
    desk.wait(50)
    assert preempted(desk) == [idle]
    assert next_deadline(desk.world) is None


def test_it_does_not_wake_for_those_who_never_leave() -> None:
    desk = a_desk(1000, 1000, 1000)
    running(desk, spec(requeue=False), spec(qos=""), spec())
    desk.submit(spec(3))
    assert preempted(desk) == []
    assert next_deadline(desk.world) is None


def test_it_keeps_its_place_and_counts_as_switched_out() -> None:
    desk = a_desk(1000)
    (idle,) = running(desk, spec())
    seq = desk.job(idle).seq
    desk.submit(spec(qos="urgent"))
    desk.wait(60)
    desk.run()
    assert desk.end(idle, None, 9, cause="cancel").seq == seq


def test_one_that_ends_well_while_it_is_asked_to_leave_has_completed() -> None:
    desk = a_desk(1000)
    (idle,) = running(desk, spec())
    desk.submit(spec(qos=""))
    desk.wait(60)
    desk.run()
    assert desk.end(idle, 0).state == states.COMPLETED


def test_cancelling_one_that_is_being_switched_out_ends_it() -> None:
    desk = a_desk(1000)
    (idle,) = running(desk, spec())
    desk.submit(spec(qos=""))
    desk.wait(60)
    desk.run()
    desk.ask(Cancel((idle,), UID))
    assert desk.end(idle, None, 15, cause="cancel").state == states.CANCELLED


SLICED = Policy(max_job_time=600, on_time_limit="extend-when-idle")


def extended(desk: Desk) -> list[int]:
    events = extensions(desk.world, schedule(desk.world, desk.now).outlook, desk.now)
    desk.apply(*events)
    return [event.extension for event in events]


def test_a_job_at_the_machine_s_limit_goes_on_while_nobody_waits() -> None:
    desk = a_desk(1000, policy=SLICED)
    running(desk, a_spec())
    desk.wait(600 - LEAD - 1)
    assert extended(desk) == []
    desk.wait(1)
    assert extended(desk) == [SLICE]
    assert extended(desk) == []
    desk.wait(SLICE)
    assert extended(desk) == [2 * SLICE]


def test_it_does_not_when_somebody_could_use_its_gpus() -> None:
    desk = a_desk(1000, policy=SLICED)
    running(desk, a_spec())
    desk.submit(a_spec())
    desk.wait(600)
    assert extended(desk) == []


def test_it_does_when_those_who_wait_could_not_start_anyway() -> None:
    desk = a_desk(1000, 1000, policy=SLICED)
    running(desk, a_spec())
    desk.wait(500)
    running(desk, a_spec())
    desk.submit(a_spec(2))
    desk.wait(600 - 500 - LEAD)
    assert extended(desk) == [SLICE]


def test_it_is_taken_back_when_somebody_comes() -> None:
    desk = a_desk(1000, policy=SLICED)
    running(desk, a_spec())
    desk.wait(600 - LEAD)
    assert extended(desk) == [SLICE]
    desk.wait(LEAD + 100)
    desk.submit(a_spec())
    assert extended(desk) == [100]
    assert extended(desk) == []


def test_before_the_limit_nothing_is_left_of_it() -> None:
    desk = a_desk(1000, policy=SLICED)
    running(desk, a_spec())
    desk.wait(600 - LEAD)
    assert extended(desk) == [SLICE]
    desk.submit(a_spec())
    assert extended(desk) == [0]


def test_it_goes_on_when_only_those_could_start_who_may_not_pass_the_first_in_line() -> None:
    desk = a_desk(1000, 1000, policy=SLICED)
    running(desk, a_spec())
    desk.wait(500)
    running(desk, a_spec())
    desk.wait(100 - LEAD)
    desk.submit(a_spec(2))
    desk.submit(a_spec())
    assert extended(desk) == [SLICE]


def test_it_goes_on_when_only_those_wait_who_rank_lower() -> None:
    desk = a_desk(1000, policy=SLICED)
    running(desk, a_spec())
    desk.submit(a_spec(), priority=-1)
    desk.wait(600 - LEAD)
    assert extended(desk) == [SLICE]


def test_another_pass_follows_since_others_may_go_first_now() -> None:
    desk = a_desk(1000, 1000, policy=SLICED)
    running(desk, a_spec())
    desk.submit(a_spec(2), priority=-1)
    desk.submit(a_spec(limit=SLICE), priority=-1)
    desk.wait(600 - LEAD)
    assert desk.run() == {}
    assert extended(desk) == [SLICE]
    assert next_deadline(desk.world) == desk.now.boot
    assert desk.run() == {3: (1,)}
    assert next_deadline(desk.world) is None


def test_it_does_not_put_off_who_waits_for_more_than_its_gpus() -> None:
    desk = a_desk(1000, 1000, policy=SLICED)
    running(desk, a_spec())
    desk.wait(100)
    running(desk, a_spec())
    desk.submit(a_spec(2))
    desk.wait(500 - LEAD)
    assert extended(desk) == [SLICE]
    held = outlook(desk.world, desk.now).reservation
    assert held is not None
    assert held.at == desk.now.boot + LEAD + 100


def test_its_own_limit_stays() -> None:
    desk = a_desk(1000, policy=SLICED)
    running(desk, a_spec(limit=700))
    desk.wait(600)
    assert extended(desk) == [100]
    assert extended(desk) == []


def test_one_that_is_not_extended_is_not_asked_about_again() -> None:
    desk = a_desk(1000, policy=SLICED)
    running(desk, a_spec())
    desk.submit(a_spec())
    assert extended(desk) == []
    assert next_change(desk.world) == desk.now.boot + 600 - LEAD
    desk.wait(600 - LEAD)
    assert extended(desk) == []
    assert next_change(desk.world) is None
