"""Jobs that failed and are tried again (``--retries``), apart from requeues at the limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.lifecycle import forget_boot
from mgpu.core.policy import Policy
from mgpu.core.requests import (
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptVanished,
    Hold,
    Rebooted,
    Release,
)
from mgpu.core.schedule import next_deadline
from mgpu.model.events import Finished, Requeued, Retried
from mgpu.model.job import Job
from mgpu.model.units import format_wait
from mgpu.testing.builders import UID, Desk, a_spec

CAUSES = ("exit", "timelimit", "cancel")


def a_desk(retries: int = 2, policy: Policy | None = None) -> Desk:
    """Job 1 runs."""
    desk = Desk(1000, policy=policy)
    desk.submit(replace(a_spec(), retries=retries))
    start(desk)
    return desk


def start(desk: Desk) -> None:
    assert desk.run() == {1: (0,)}
    desk.launched(1)


def last(desk: Desk) -> type:
    """What happened last."""
    return type(desk.log[-1])


def test_a_failure_is_tried_again_after_a_growing_wait() -> None:
    desk = a_desk(retries=3)
    waits = []
    for number in (1, 2, 3):
        desk.end(1, code=7)
        waits.append((next_deadline(desk.world) or 0) - desk.now.boot)
        assert desk.reason(1) == (
            "BeginTime",
            f"failed with code 7 (retry {number} of 3); next try in {format_wait(waits[-1])}",
        )
        assert desk.run() == {}
        desk.wait(waits[-1])
        start(desk)
        assert desk.job(1).restarts == number
    assert waits == [30, 60, 120]
    assert desk.end(1, code=7).state == "FAILED"
    assert desk.log[-1] == Finished(desk.now, 1, 4, "FAILED", 7)


def test_the_wait_grows_to_an_hour() -> None:
    desk = a_desk(retries=1000)
    for _ in range(40):
        desk.end(1, code=1)
        desk.wait(3600)
        start(desk)
    desk.end(1, code=1)
    assert next_deadline(desk.world) == desk.now.boot + 3600


@pytest.mark.parametrize(("delay", "waits"), [(0, [0, 0]), (7200, [7200, 7200]), (5, [5, 10])])
def test_the_first_wait_is_a_setting(delay: int, waits: list[int]) -> None:
    desk = a_desk(policy=Policy(retry_delay=delay))
    for wait in waits:
        desk.end(1, code=1)
        if wait:
            desk.wait(wait - 1)
            assert desk.run() == {}
            desk.wait(1)
        start(desk)


@pytest.mark.parametrize(
    ("code", "signal", "words"),
    [(None, 11, "ended by signal 11"), (None, None, "failed"), (0, 9, "ended by signal 9")],
)
def test_a_signal_is_a_failure(code: int | None, signal: int | None, words: str) -> None:
    desk = a_desk()
    desk.end(1, code, signal)
    assert desk.reason(1)[1].startswith(f"{words} (retry 1 of 2)")


def test_a_run_of_which_nothing_is_known_any_more_is_a_failure() -> None:
    for report in (AttemptLost, AttemptVanished):
        desk = a_desk()
        desk.report(report, 1)
        assert desk.log[-1] == Retried(desk.now, 1, 1, None, None, desk.now.boot + 30)
        desk.wait(30)
        desk.run()
        desk.cancel(1)
        assert desk.report(report, 1).state == "CANCELLED"


def test_success_is_final() -> None:
    assert a_desk().end(1).state == "COMPLETED"


def test_a_cancelled_job_is_not_tried_again() -> None:
    assert a_desk().end(1, None, 15, "cancel").state == "CANCELLED"
    desk = a_desk()
    desk.cancel(1)
    assert desk.end(1, code=1).state == "CANCELLED"


def test_what_cannot_be_started_is_not_tried_again() -> None:
    desk = Desk(1000)
    desk.submit(replace(a_spec(), retries=3))
    desk.run()
    desk.report(AttemptRefused, 1, "exec", 2, "/bin/nope", False)
    end = desk.log[-1]
    assert isinstance(end, Finished)
    assert end.state == "LAUNCH_FAILED"


def test_the_time_limit_is_no_failure() -> None:
    desk = a_desk(policy=Policy(max_requeues=1))
    desk.end(1, None, 15, "timelimit")
    assert last(desk) is Requeued
    assert desk.job(1).failures == 0
    start(desk)
    assert desk.end(1, None, 15, "timelimit").state == "TIMEOUT"


def test_retries_use_up_no_requeues() -> None:
    desk = a_desk(policy=Policy(max_requeues=1, retry_delay=0))
    desk.end(1, code=1)
    start(desk)
    desk.end(1, None, 15, "timelimit")
    assert last(desk) is Requeued
    start(desk)
    desk.end(1, code=1)
    assert last(desk) is Retried
    assert (desk.job(1).restarts, desk.job(1).failures) == (3, 2)


def test_a_job_that_was_never_heard_to_run_may_fail_too() -> None:
    desk = Desk(1000)
    desk.submit(replace(a_spec(), retries=1))
    desk.run()
    desk.ask(AttemptEnded(1, 1, 1, None, "exit", "", desk.now.wall))
    assert last(desk) is Retried
    desk.wait(30)
    desk.run()
    desk.ask(AttemptEnded(1, 2, 1, None, "exit", "", desk.now.wall, started=desk.now.wall))
    assert last(desk) is Finished


def test_a_reboot_is_no_failure() -> None:
    desk = a_desk()
    desk.ask(Rebooted(1, 1))
    assert (desk.job(1).restarts, desk.job(1).failures) == (1, 0)


def test_a_reboot_ends_the_wait_for_a_retry() -> None:
    desk = a_desk()
    desk.end(1, code=1)
    forget_boot(desk.world)
    start(desk)
    assert desk.job(1).failures == 1


def test_a_reboot_ends_the_wait_of_a_held_one_too() -> None:
    desk = a_desk()
    desk.end(1, code=1)
    desk.ask(Hold((1,), UID))
    forget_boot(desk.world)
    desk.ask(Release((1,), UID))
    start(desk)


def crash(desk: Desk, after: float = 60) -> Job:
    """The machine goes down under the job, and comes up."""
    desk.wait(after)
    return desk.report(Rebooted, 1)


def test_a_job_that_takes_the_machine_down_with_it_is_not_started_for_ever() -> None:
    desk = a_desk(policy=Policy(max_node_failures=3))
    for _ in range(3):
        crash(desk)
        start(desk)
    assert desk.job(1).crashes == 3
    assert crash(desk).state == "NODE_FAIL"
    assert desk.log[-1] == Finished(
        desk.now, 1, 4, "NODE_FAIL", detail="the machine was restarted, 4 times in a row"
    )


def test_a_long_run_between_two_restarts_of_the_machine_starts_the_count_anew() -> None:
    desk = a_desk(policy=Policy(max_node_failures=2))
    for after in (60, 60, 86400, 60):
        crash(desk, after)
        start(desk)
    assert desk.job(1).crashes == 2
    desk.end(1, None, 15, "timelimit")
    assert desk.job(1).crashes == 0


def test_restarts_of_the_machine_may_be_without_bound() -> None:
    desk = a_desk(policy=Policy(max_node_failures=0))
    for _ in range(20):
        crash(desk)
        start(desk)
