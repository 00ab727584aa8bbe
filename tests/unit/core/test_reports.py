"""What a report about an attempt leads to, in each phase; and the fence around it."""

from __future__ import annotations

import pytest

from mgpu.core.decide import Decision, decide
from mgpu.core.policy import Policy
from mgpu.core.reports import Stale
from mgpu.core.requests import (
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptRunning,
    AttemptVanished,
    Rebooted,
    Report,
)
from mgpu.model.events import Deferred, Event, Finished, Launched, Requeued
from mgpu.model.time import Now
from mgpu.testing.builders import Desk, a_spec, at

STARTED = at(3)
ENDED_AT = at(60).wall


def a_desk(phase: str, *, requeue: bool = True, policy: Policy | None = None) -> Desk:
    """Job 1 in its first attempt; the time is 100 s later."""
    desk = Desk(1000, policy=policy)
    desk.submit(a_spec(requeue=requeue))
    desk.run()
    if phase in ("running", "stopping after launch"):
        desk.ask(AttemptRunning(1, 1, 4001, 77, STARTED))
    if phase.startswith("stopping"):
        desk.cancel(1)
    desk.wait(100)
    return desk


def events(desk: Desk, report: Report) -> list[Event]:
    decision = decide(desk.world, report, desk.now)
    assert decision.reply is None
    return decision.events


def exited(code: int | None = 0, signal: int | None = None, cause: str = "exit") -> AttemptEnded:
    return AttemptEnded(1, 1, code, signal, cause, "", ENDED_AT)


def finished(
    state: str, code: int | None = None, signal: int | None = None, detail: str = ""
) -> list[Event]:
    return [Finished(at(100), 1, 1, state, code, signal, detail)]


def finished_then(state: str, code: int | None, signal: int | None) -> list[Event]:
    return [Finished(Now(ENDED_AT, at(100).boot), 1, 1, state, code, signal, "")]


REPORTS: list[Report] = [
    AttemptRunning(1, 1, 4001, 77, STARTED),
    exited(),
    AttemptRefused(1, 1, "exec", 2, "x", transient=False),
    AttemptLost(1, 1),
    AttemptVanished(1, 1),
    Rebooted(1, 1),
]


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_about_another_attempt_or_an_ended_job_is_stale(report: Report) -> None:
    waits_again = a_desk("running")
    waits_again.end(1, None, 15, "timelimit")
    assert decide(waits_again.world, report, at(100)) == Decision([], Stale(1, 1, 1))
    waits_again.run()
    assert decide(waits_again.world, report, at(100)) == Decision([], Stale(1, 1, 2))
    over = a_desk("running")
    over.end(1)
    assert decide(over.world, report, at(100)) == Decision([], Stale(1, 1, 0))


def test_running_is_news_once() -> None:
    report = AttemptRunning(1, 1, 4001, 77, STARTED)
    assert events(a_desk("starting"), report) == [Launched(STARTED, 1, 1, 4001, 77)]
    assert events(a_desk("stopping"), report) == [Launched(STARTED, 1, 1, 4001, 77)]
    for phase in ("running", "stopping after launch"):
        assert decide(a_desk(phase).world, report, at(100)) == Decision([], Stale(1, 1, 1))


@pytest.mark.parametrize(
    ("code", "signal", "state"),
    [
        (0, None, "COMPLETED"),
        (7, None, "FAILED"),
        (None, 9, "FAILED"),
        (0, 9, "FAILED"),
        (None, None, "FAILED"),
    ],
)
def test_only_code_0_is_success(code: int | None, signal: int | None, state: str) -> None:
    assert events(a_desk("running"), exited(code, signal)) == finished_then(state, code, signal)


@pytest.mark.parametrize("phase", ["stopping", "stopping after launch"])
@pytest.mark.parametrize("cause", ["exit", "cancel", "timelimit"])
def test_a_job_that_was_being_stopped_is_cancelled_however_it_ended(phase: str, cause: str) -> None:
    assert events(a_desk(phase), exited(0, None, cause)) == finished_then("CANCELLED", 0, None)


def test_an_end_by_cancel_is_cancelled_whatever_the_phase() -> None:
    report = exited(None, 15, "cancel")
    assert events(a_desk("running"), report) == finished_then("CANCELLED", None, 15)


def test_at_the_time_limit_the_job_goes_to_the_end_of_the_queue() -> None:
    desk = a_desk("running")
    desk.submit()
    at_end = Now(ENDED_AT, at(100).boot)
    assert events(desk, exited(0, None, "timelimit")) == [Requeued(at_end, 1, 1, "TIMEOUT")]
    desk.ask(exited(0, None, "timelimit"))
    assert desk.run() == {2: (0,)}
    assert desk.reason(1)[1].startswith("needs 1 GPU for itself")
    desk.end(2)
    assert desk.run() == {1: (0,)}
    assert (desk.job(1).attempt, desk.job(1).restarts) == (2, 1)


def test_no_requeue_ends_it_as_timeout() -> None:
    desk = a_desk("running", requeue=False)
    assert events(desk, exited(None, 9, "timelimit")) == finished_then("TIMEOUT", None, 9)


def test_requeues_are_bounded() -> None:
    desk = a_desk("running", policy=Policy(max_requeues=1))
    desk.ask(exited(None, 15, "timelimit"))
    desk.run()
    report = AttemptEnded(1, 2, None, 15, "timelimit", "d", ENDED_AT)
    assert events(desk, report) == [
        Finished(Now(ENDED_AT, desk.now.boot), 1, 2, "TIMEOUT", None, 15, "d")
    ]


def test_an_end_also_tells_of_a_start_that_was_not_heard_of() -> None:
    report = AttemptEnded(1, 1, 0, None, "exit", "", ENDED_AT, started=STARTED.wall)
    launched = Launched(Now(STARTED.wall, at(100).boot), 1, 1, 0, 0)
    for phase, state in (("starting", "COMPLETED"), ("stopping", "CANCELLED")):
        assert events(a_desk(phase), report) == [launched, *finished_then(state, 0, None)]
    assert events(a_desk("running"), report) == finished_then("COMPLETED", 0, None)
    assert events(a_desk("starting"), exited()) == finished_then("COMPLETED", 0, None)


def refused(stage: str, errno: int, detail: str, *, transient: bool, n: int = 1) -> AttemptRefused:
    return AttemptRefused(1, n, stage, errno, detail, transient)


@pytest.mark.parametrize(
    ("stage", "errno", "detail", "told"),
    [
        ("exec", 2, "/bin/nope", "exec: ENOENT: /bin/nope"),
        ("chdir", 13, "", "chdir: EACCES"),
        ("drop", 0, "gid 0 came back", "drop: gid 0 came back"),
        ("exec", 9999, "", "exec: errno 9999"),
    ],
)
def test_a_refusal_for_good_is_launch_failed_with_stage_and_errno(
    stage: str, errno: int, detail: str, told: str
) -> None:
    report = refused(stage, errno, detail, transient=False)
    assert events(a_desk("starting"), report) == finished("LAUNCH_FAILED", detail=told)
    assert events(a_desk("stopping"), report) == finished("CANCELLED")


def test_a_passing_refusal_puts_it_back_with_a_growing_delay_until_retries_are_used_up() -> None:
    desk = a_desk("starting", policy=Policy(start_retries=3))
    waits = []
    for attempt in (1, 2, 3):
        report = refused("fork", 11, "", transient=True, n=attempt)
        [event] = events(desk, report)
        assert isinstance(event, Deferred)
        assert (event.attempt, event.reason, event.counted) == (attempt, "BeginTime", True)
        assert event.detail == f"start failed: fork: EAGAIN (retry {attempt} of 3)"
        waits.append(event.eligible - desk.now.boot)
        desk.ask(report)
        desk.wait(waits[-1])
        assert desk.run() == {1: (0,)}
    assert waits == [1.0, 2.0, 4.0]
    assert events(desk, refused("fork", 11, "", transient=True, n=4)) == [
        Finished(desk.now, 1, 4, "LAUNCH_FAILED", detail="fork: EAGAIN")
    ]


def test_a_launch_in_between_starts_the_count_anew() -> None:
    desk = a_desk("starting", policy=Policy(start_retries=1))
    desk.ask(refused("fork", 11, "", transient=True))
    desk.wait(1)
    desk.run()
    desk.launched(1)
    desk.end(1, None, 15, "timelimit")
    desk.run()
    [event] = events(desk, refused("fork", 11, "", transient=True, n=3))
    assert isinstance(event, Deferred)


def test_an_account_is_waited_for_without_end_and_at_most_ten_minutes_apart() -> None:
    desk = a_desk("starting", policy=Policy(start_retries=0))
    waits = []
    for attempt in range(1, 14):
        report = refused("account", 0, "unknown user", transient=True, n=attempt)
        [event] = events(desk, report)
        assert isinstance(event, Deferred)
        assert (event.reason, event.detail) == ("InvalidAccount", "unknown user")
        assert not event.counted
        waits.append(event.eligible - desk.now.boot)
        desk.ask(report)
        desk.wait(waits[-1])
        desk.run()
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]


def test_waiting_for_an_account_uses_up_no_retries_of_other_causes() -> None:
    desk = a_desk("starting", policy=Policy(start_retries=1))
    for attempt in (1, 2, 3):
        desk.ask(refused("account", 0, "", transient=True, n=attempt))
        desk.wait(600)
        desk.run()
    [event] = events(desk, refused("fork", 11, "", transient=True, n=4))
    assert isinstance(event, Deferred)
    assert event.eligible == desk.now.boot + 1


def test_an_account_refusal_without_words_tells_the_stage() -> None:
    [event] = events(a_desk("starting"), refused("account", 0, "", transient=True))
    assert isinstance(event, Deferred)
    assert event.detail == "account"


def test_a_passing_refusal_of_what_was_seen_to_run_is_final() -> None:
    report = refused("fork", 11, "", transient=True)
    assert events(a_desk("running"), report) == finished("LAUNCH_FAILED", detail="fork: EAGAIN")
    assert events(a_desk("stopping"), report) == finished("CANCELLED")


@pytest.mark.parametrize(
    ("phase", "state"),
    [("starting", "FAILED"), ("running", "FAILED"), ("stopping", "CANCELLED")],
)
def test_a_lost_supervisor_leaves_the_code_unknown(phase: str, state: str) -> None:
    desk = a_desk(phase)
    assert events(desk, AttemptLost(1, 1)) == finished(state, detail="supervisor lost")
    told = "supervisor lost: killed by the kernel"
    assert events(desk, AttemptLost(1, 1, "killed by the kernel")) == finished(state, detail=told)


def test_an_attempt_that_never_came_to_be_is_started_again_uncounted() -> None:
    desk = a_desk("starting")
    deferred = Deferred(at(100), 1, 1, at(100).boot, "", "", counted=False)
    assert events(desk, AttemptVanished(1, 1)) == [deferred]
    desk.report(AttemptVanished, 1)
    assert desk.run() == {1: (0,)}
    assert (desk.job(1).attempt, desk.job(1).deferrals, desk.job(1).restarts) == (2, 0, 0)


@pytest.mark.parametrize(("phase", "state"), [("running", "FAILED"), ("stopping", "CANCELLED")])
def test_an_attempt_that_vanished_while_it_ran_is_lost(phase: str, state: str) -> None:
    report = AttemptVanished(1, 1)
    assert events(a_desk(phase), report) == finished(state, detail="supervisor lost")


@pytest.mark.parametrize("phase", ["starting", "running"])
def test_a_reboot_puts_back_what_may_be_put_back(phase: str) -> None:
    report = Rebooted(1, 1)
    assert events(a_desk(phase), report) == [Requeued(at(100), 1, 1, "NODE_FAIL")]
    told = finished("NODE_FAIL", detail="the machine was restarted")
    assert events(a_desk(phase, requeue=False), report) == told


def test_a_cancel_outlives_a_reboot() -> None:
    told = finished("CANCELLED", detail="the machine was restarted")
    assert events(a_desk("stopping"), Rebooted(1, 1)) == told
