from __future__ import annotations

import pytest

from mgpu.simulator.metrics import UserSummary, jain, percentile, slowdown, summarize, wait
from mgpu.simulator.replay import Outcome
from mgpu.simulator.trace import TraceJob


def ended(submit: float, started: float, run: float, *, user: str = "a", gpus: int = 1) -> Outcome:
    job = TraceJob(submit, user, gpus, run)
    return Outcome(job, started, started + run, run, 1)


@pytest.mark.parametrize(
    ("values", "index"),
    [([], 1), ([3], 1), ([5, 5, 5], 1), ([1, 0, 0, 0], 0.25), ([1, 3], 0.8), ([0, 0], 1)],
)
def test_jains_index(values: list[float], index: float) -> None:
    assert jain(values) == pytest.approx(index)


@pytest.mark.parametrize(
    ("count", "share", "value"),
    [(0, 0.95, 0), (1, 0.95, 1), (20, 0.95, 19), (100, 0.95, 95), (3, 0.5, 2), (10, 1.0, 10)],
)
def test_percentile_is_a_value_that_occurs(count: int, share: float, value: float) -> None:
    assert percentile(range(count, 0, -1), share) == value


@pytest.mark.parametrize(
    ("waited", "run", "expected"),
    [
        (0, 6000, 1),
        (6000, 6000, 2),
        (0, 1, 1),  # never below 1
        (1199, 1, 2),  # short runs count as 600 s
        (600, 0.5, 600.5 / 600),
    ],
)
def test_bounded_slowdown(waited: float, run: float, expected: float) -> None:
    assert slowdown(ended(0, waited, run)) == pytest.approx(expected)


def test_time_between_attempts_is_waiting_too() -> None:
    outcome = Outcome(TraceJob(10, "a", 1, 100), started=20, ended=150, served=100, attempts=2)
    assert wait(outcome) == 40


def test_a_summary_by_hand() -> None:
    outcomes = [
        ended(0, 0, 1000, gpus=4),
        ended(0, 1000, 1000, user="b", gpus=4),
        ended(0, 2000, 500, user="b"),
        Outcome(TraceJob(0, "c", 8, 5), refused="too large"),
    ]
    summary = summarize(outcomes, gpus=4)
    assert (summary.jobs, summary.unfinished) == (3, 1)
    assert (summary.mean_wait, summary.median_wait, summary.max_wait) == (1000, 1000, 2000)
    assert summary.big_p95_wait == 1000
    assert summary.mean_slowdown == pytest.approx((1 + 2 + 2500 / 600) / 3)
    assert summary.makespan == 2500
    assert summary.utilisation == pytest.approx(8500 / 10000)
    slow = (2 + 2500 / 600) / 2
    assert summary.jain == pytest.approx((1 + slow) ** 2 / (2 * (1 + slow**2)))


def test_a_summary_by_user() -> None:
    summary = summarize([ended(0, 60, 1200), ended(0, 0, 600, user="b", gpus=2)], gpus=4)
    assert summary.users["a"] == UserSummary(1, 1200, 60, 1.05)
    assert summary.users["b"] == UserSummary(1, 1200, 0, 1)


def test_a_summary_of_nothing_has_no_figures() -> None:
    summary = summarize([], gpus=2)
    assert (summary.jobs, summary.mean_wait, summary.jain, summary.utilisation) == (0, 0, 1, 0)
