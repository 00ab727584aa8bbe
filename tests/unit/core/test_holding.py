"""Holds, beginnings, deadlines and recurring jobs, as the core decides on them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.deadline import seconds_left
from mgpu.core.policy import Policy
from mgpu.core.recurring import LATE
from mgpu.core.requests import AttemptRefused, ChangeRepeat, Hold, Release, Repeat, Submit
from mgpu.core.wishes import Outcomes
from mgpu.model import states
from mgpu.model.errors import MgpuError
from mgpu.model.job import Ended
from mgpu.model.records import Recurring
from mgpu.model.states import Reason
from mgpu.model.target import Target
from mgpu.model.tasks import Tasks, parse_tasks
from mgpu.model.time import Now
from mgpu.testing.builders import EPOCH, UID, Desk, a_spec

OTHER = 2000


def told(reply: object) -> dict[object, str]:
    assert isinstance(reply, Outcomes)
    return dict(reply.jobs)


# -- hold and release ---------------------------------------------------------------------------


def test_a_held_job_waits_until_it_is_released() -> None:
    desk = Desk(1000)
    number = desk.submit()
    assert told(desk.ask(Hold((number,), UID))) == {number: "changed"}
    assert desk.run() == {}
    assert desk.reason(number) == (Reason.HELD_USER, "")
    assert told(desk.ask(Release((number,), UID))) == {number: "changed"}
    assert desk.run() == {number: (0,)}


def test_a_job_that_backs_off_begins_no_earlier_than_it_may() -> None:
    desk = Desk(1000)
    number = desk.submit()
    desk.run()
    desk.ask(AttemptRefused(number, 1, "fork", 11, "", transient=True))
    desk.ask(Release((number,), UID, begin=desk.now.wall + 100))
    desk.wait(50)
    assert desk.run() == {}
    assert desk.reason(number) == (Reason.BEGIN_TIME, "begins in 0:50")
    desk.wait(50)
    assert desk.run() == {number: (0,)}


def test_what_an_administrator_holds_the_owner_cannot_release() -> None:
    desk = Desk(1000)
    number = desk.submit()
    desk.ask(Hold((number,), 0, may_any=True))
    assert desk.reason(number)[0] == Reason.HELD_ADMIN
    assert told(desk.ask(Release((number,), UID))) == {number: "admin"}
    assert desk.run() == {}
    desk.ask(Release((number,), 0, may_any=True))
    assert desk.run() == {number: (0,)}


def test_a_hold_of_an_administrator_outweighs_the_owner_s() -> None:
    desk = Desk(1000)
    number = desk.submit()
    desk.ask(Hold((number,), UID))
    desk.ask(Hold((number,), 0, may_any=True))
    assert desk.job(number).held == "admin"
    desk.ask(Hold((number,), UID))
    assert desk.job(number).held == "admin"


def test_nobody_holds_a_job_of_somebody_else() -> None:
    desk = Desk(1000)
    number = desk.submit()
    assert told(desk.ask(Hold((number, 77), OTHER))) == {number: "unknown", 77: "unknown"}
    assert desk.run() == {number: (0,)}
    assert told(desk.ask(Hold((number,), UID))) == {number: "started"}


def test_some_tasks_of_an_array_are_held_alone() -> None:
    desk = Desk(1000, 1000, 1000)
    desk.ask(Submit(UID, "u", a_spec(), tasks=parse_tasks("1-3")[0]))
    part = Target(1, Tasks.only(2))
    assert told(desk.ask(Hold((part,), UID))) == {part: "changed"}
    started = desk.run()
    assert len(started) == 2
    held = [job for job in desk.world.jobs.values() if job.held]
    assert [job.tasks for job in held] == [Tasks.only(2)]


def test_a_release_can_set_the_time() -> None:
    desk = Desk(1000)
    number = desk.submit()
    desk.ask(Hold((number,), UID))
    desk.ask(Release((number,), UID, begin=EPOCH + 60))
    assert desk.run() == {}
    assert desk.reason(number) == (Reason.BEGIN_TIME, "begins in 1:00")
    desk.wait(60)
    assert desk.run() == {number: (0,)}


def test_a_release_leaves_the_time_that_was_set_before() -> None:
    desk = Desk(1000)
    desk.ask(Submit(UID, "u", a_spec(), begin=EPOCH + 3600))
    desk.ask(Hold((1,), UID))
    desk.ask(Release((1,), UID))
    assert desk.run() == {}
    assert desk.reason(1)[0] == Reason.BEGIN_TIME
    desk.ask(Release((1,), UID, begin=desk.now.wall))
    assert desk.run() == {1: (0,)}


def test_a_job_begins_when_the_wall_clock_says_so_even_if_that_is_set() -> None:
    desk = Desk(1000)
    desk.ask(Submit(UID, "u", a_spec(), begin=EPOCH + 3600))
    assert desk.run() == {}
    desk.now = Now(desk.now.wall + 3600, desk.now.boot + 1)
    assert desk.run() == {1: (0,)}


# -- deadline -----------------------------------------------------------------------------------


def test_a_job_that_can_no_longer_be_over_in_time_is_removed() -> None:
    desk = Desk(1000)
    desk.submit(a_spec())
    late = desk.submit(replace(a_spec(limit=100), deadline=EPOCH + 150, spec_id=2))
    job = desk.job(late)
    desk.run()
    desk.wait(50)
    desk.run()
    assert late in desk.world.jobs
    desk.wait(1)
    desk.run()
    assert isinstance(job.phase, Ended)
    assert job.phase.state == states.CANCELLED
    assert job.phase.detail.startswith("DeadLine: it may run 1:40")


@pytest.mark.parametrize("policy", ["requeue", "cancel", "extend-when-idle"])
def test_a_job_that_runs_at_its_deadline_ends_and_says_so(policy: str) -> None:
    desk = Desk(1000, policy=Policy(on_time_limit=policy))
    number = desk.submit(replace(a_spec(), deadline=EPOCH + 150, retries=3))
    desk.run()
    desk.launched(number)
    desk.wait(149.5)
    job = desk.end(number, None, 15, cause="timelimit")
    assert isinstance(job.phase, Ended)
    assert (job.phase.state, job.phase.detail) == (
        states.TIMEOUT,
        "DeadLine: it was not over by its deadline",
    )


def test_at_its_limit_before_the_deadline_it_is_put_back() -> None:
    desk = Desk(1000)
    number = desk.submit(replace(a_spec(limit=100), deadline=EPOCH + 350))
    desk.run()
    desk.launched(number)
    desk.wait(100)
    assert desk.end(number, None, 15, cause="timelimit").state == states.PENDING


@pytest.mark.parametrize(
    ("limit", "begin", "deadline", "text"),
    [
        (None, 0, -1, "0:00 are left .* it cannot be over by then"),
        (100, 0, 99, "1:39 are left .* it may run 1:40"),
        (None, 60, 60, "0:00 are left"),
        (100, 60, 159, "1:39 are left"),
    ],
)
def test_what_cannot_be_over_in_time_is_refused(
    limit: int | None, begin: float, deadline: float, text: str
) -> None:
    spec = replace(a_spec(limit=limit), deadline=EPOCH + deadline)
    with pytest.raises(MgpuError, match=text):
        Desk(1000).ask(Submit(UID, "u", spec, begin=begin and EPOCH + begin))


def test_the_limit_never_reaches_beyond_the_deadline() -> None:
    desk = Desk(1000)
    job = desk.job(desk.submit(replace(a_spec(), deadline=EPOCH + 150)))
    assert seconds_left(job, 0, EPOCH) == 150
    assert seconds_left(job, 100, EPOCH) == 100
    assert seconds_left(job, 100, EPOCH + 90) == 60
    assert seconds_left(desk.job(desk.submit()), 100, EPOCH) == 100


# -- recurring jobs -----------------------------------------------------------------------------


def a_desk(policy: Policy | None = None) -> Desk:
    """A world whose calendar knows one expression: every hundred seconds."""
    desk = Desk(1000, policy=policy)
    desk.world.next_run = lambda _cron, _zone, after: after - (after - EPOCH) % 100 + 100
    return desk


def repeat(desk: Desk, overlap: str = "skip", missed: str = "drop") -> int:
    wish = Repeat(Submit(UID, "u", a_spec(spec_id=0)), "x", "UTC", overlap, missed)
    ((number, _),) = told(desk.ask(wish)).items()
    assert isinstance(number, int)
    return number


def record(desk: Desk, number: int = 1) -> Recurring:
    found = desk.world.records.get(Recurring, number)
    assert found is not None
    return found


def test_a_run_is_submitted_whenever_it_is_due() -> None:
    desk = a_desk()
    repeat(desk)
    assert desk.run() == {}
    desk.wait(100)
    assert desk.run() == {1: (0,)}
    assert record(desk).active == 1
    desk.end(1)
    desk.wait(99)
    assert desk.run() == {}
    desk.wait(1)
    assert desk.run() == {2: (0,)}


def test_a_run_is_left_out_while_the_last_one_is_active() -> None:
    desk = a_desk()
    repeat(desk)
    for _ in range(2):
        desk.wait(100)
        desk.run()
    assert list(desk.world.jobs) == [1]
    assert (record(desk).left_out, record(desk).note) == (1, "skipped: job 1 was still active")


def test_or_queued_if_its_owner_says_so() -> None:
    desk = a_desk()
    repeat(desk, overlap="queue")
    for _ in range(2):
        desk.wait(100)
        desk.run()
    assert list(desk.world.jobs) == [1, 2]


@pytest.mark.parametrize(("missed", "jobs"), [("drop", []), ("once", [1])])
def test_runs_that_fell_into_a_stop_are_told_and_dropped_or_made_up_for(
    missed: str, jobs: list[int]
) -> None:
    desk = a_desk()
    repeat(desk, missed=missed)
    desk.wait(500 + LATE + 1)
    desk.run()
    assert list(desk.world.jobs) == jobs
    assert "stop" in record(desk).note
    assert record(desk).next > desk.now.wall


def test_paused_resumed_and_removed() -> None:
    desk = a_desk()
    number = repeat(desk)
    desk.ask(ChangeRepeat((number,), "pause", UID))
    desk.wait(150)
    desk.run()
    assert not desk.world.jobs
    desk.ask(ChangeRepeat((number,), "resume", UID))
    desk.wait(50)
    assert desk.run() == {1: (0,)}
    desk.ask(ChangeRepeat((number,), "remove", UID))
    desk.end(1)
    desk.wait(1000)
    assert desk.run() == {}


def test_what_an_administrator_pauses_the_owner_cannot_resume() -> None:
    desk = a_desk()
    number = repeat(desk)
    desk.ask(ChangeRepeat((number,), "pause", OTHER, may_any=True))
    desk.ask(ChangeRepeat((number,), "pause", UID))
    assert told(desk.ask(ChangeRepeat((number,), "resume", UID))) == {number: "admin"}
    assert record(desk).paused
    desk.ask(ChangeRepeat((number,), "resume", OTHER, may_any=True))
    assert not record(desk).paused
    desk.ask(ChangeRepeat((number,), "pause", UID))
    assert told(desk.ask(ChangeRepeat((number,), "resume", UID))) == {number: "changed"}


def test_the_owner_may_remove_what_an_administrator_paused() -> None:
    desk = a_desk()
    number = repeat(desk)
    desk.ask(ChangeRepeat((number,), "pause", OTHER, may_any=True))
    assert told(desk.ask(ChangeRepeat((number,), "remove", UID))) == {number: "changed"}


def test_nobody_changes_recurring_jobs_of_somebody_else() -> None:
    desk = a_desk()
    number = repeat(desk)
    assert told(desk.ask(ChangeRepeat((number, 9), "remove", OTHER))) == {
        number: "unknown",
        9: "unknown",
    }
    assert record(desk).cron == "x"


def test_what_could_never_start_is_refused_at_once() -> None:
    desk = a_desk()
    with pytest.raises(MgpuError, match="this machine has 1"):
        desk.ask(Repeat(Submit(UID, "u", a_spec(9)), "x", ""))
    tasks = parse_tasks("1-3")[0]
    with pytest.raises(MgpuError, match="no array and no dependency"):
        desk.ask(Repeat(Submit(UID, "u", a_spec(), tasks=tasks), "x", ""))


@pytest.mark.parametrize(
    "wish",
    [
        Submit(UID, "u", a_spec(), held="user"),
        Submit(UID, "u", a_spec(), begin=EPOCH + 1),
        Submit(UID, "u", replace(a_spec(), deadline=EPOCH + 1e6)),
    ],
)
def test_a_recurring_job_has_no_times_but_those_of_cron(wish: Submit) -> None:
    with pytest.raises(MgpuError, match="no hold, no begin and no deadline"):
        a_desk().ask(Repeat(wish, "x", ""))
