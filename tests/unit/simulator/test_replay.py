from __future__ import annotations

from dataclasses import replace as changed

import pytest

from mgpu.core.invariants import check_invariants
from mgpu.core.policy import Policy
from mgpu.simulator.compare import policies
from mgpu.simulator.replay import Outcome, replay
from mgpu.simulator.trace import TraceJob

FIFO, FIRST_FIT, EASY = policies(["fifo", "first-fit", "easy"]).values()


def starts(jobs: list[TraceJob], gpus: int, policy: Policy) -> dict[str, float | None]:
    return {done.job.user: done.started for done in played(jobs, gpus, policy)}


def played(jobs: list[TraceJob], gpus: int, policy: Policy) -> list[Outcome]:
    return replay(jobs, gpus, policy, check_invariants)


#: On two GPUs: ``wide`` waits for both, ``short`` and ``long`` could use the free one meanwhile.
PASSING = [
    TraceJob(0, "first", 1, 100, 100),
    TraceJob(1, "wide", 2, 100, 100),
    TraceJob(2, "long", 1, 200, 200),
    TraceJob(3, "short", 1, 50, 50),
]


def test_strict_order_lets_nobody_pass() -> None:
    assert starts(PASSING, 2, FIFO) == {"first": 0, "wide": 100, "long": 200, "short": 200}


def test_first_fit_lets_everybody_pass() -> None:
    assert starts(PASSING, 2, FIRST_FIT) == {"first": 0, "long": 2, "short": 100, "wide": 202}


def test_easy_lets_pass_who_is_over_in_time() -> None:
    assert starts(PASSING, 2, EASY) == {"first": 0, "short": 3, "wide": 100, "long": 200}


def test_a_job_that_ends_early_makes_room_at_once() -> None:
    jobs = [TraceJob(0, "a", 1, 10, 600), TraceJob(1, "b", 1, 10, 600)]
    (a, b) = played(jobs, 1, EASY)
    assert (a.ended, b.started, b.ended) == (10, 10, 20)


def test_a_job_is_ended_at_its_limit() -> None:
    (done,) = played([TraceJob(0, "a", 1, 500, 300)], 1, EASY)
    assert (done.ended, done.served, done.attempts) == (300, 300, 1)


def test_the_limit_of_the_machine_holds_too() -> None:
    (done,) = played([TraceJob(0, "a", 1, 500)], 1, Policy(max_job_time=200))
    assert done.ended == 200


def test_a_job_that_is_put_back_goes_on_where_it_was() -> None:
    jobs = [TraceJob(0, "a", 1, 500, requeue=True), TraceJob(1, "b", 1, 100)]
    a, b = played(jobs, 1, changed(EASY, max_job_time=200))
    assert (a.attempts, a.served, a.ended) == (3, 500, 600)
    assert b.started == 200


def test_jobs_share_a_gpu_as_far_as_its_memory_goes() -> None:
    jobs = [TraceJob(0, user, 1, 10, None, 40000) for user in "abc"]
    assert starts(jobs, 1, EASY) == {"a": 0, "b": 0, "c": 10}


def test_higher_priority_goes_first() -> None:
    jobs = [
        TraceJob(0, "a", 1, 10),
        TraceJob(1, "b", 1, 10),
        TraceJob(2, "c", 1, 10, priority=5),
    ]
    assert starts(jobs, 1, EASY) == {"a": 0, "c": 10, "b": 20}


def test_what_the_core_refuses_is_told_and_nothing_else_suffers() -> None:
    large, small = played([TraceJob(0, "a", 3, 10), TraceJob(0, "b", 1, 10)], 2, EASY)
    assert "this machine has 2" in large.refused
    assert (large.ended, small.ended) == (None, 10)


def test_many_jobs_of_one_user_are_no_reason_to_refuse() -> None:
    jobs = [TraceJob(0, "a", 1, 1)] * 3
    assert all(done.ended for done in played(jobs, 1, Policy(max_pending_per_user=1)))


@pytest.mark.parametrize("policy", [FIFO, FIRST_FIT, EASY, Policy()])
def test_a_replay_is_the_same_every_time(policy: Policy) -> None:
    assert replay(PASSING, 2, policy) == replay(PASSING, 2, policy)


def test_nothing_comes_of_nothing() -> None:
    assert replay([], 2, EASY) == []
