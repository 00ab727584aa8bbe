"""What a replay was like for those who waited, in figures that the literature uses.

The bounded slowdown of a job is the time from its submission to its end, divided by its run time
but at least by TAU (Feitelson and Rudolph, JSSPP 1998), and at least 1. Fairness is Jain's index of
the users' mean slowdowns: 1 when all fare alike, 1/n when one of n bears everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import NamedTuple

from mgpu.simulator.replay import Outcome

#: Run times shorter than this many seconds count as this long in a slowdown.
TAU = 600.0
#: A job with so many GPUs or more is a big one.
BIG = 4


class UserSummary(NamedTuple):
    """How one user fared. Times are seconds."""

    jobs: int
    gpu_seconds: float
    mean_wait: float
    mean_slowdown: float


class Summary(NamedTuple):
    """How a workload fared. Times are seconds; ``unfinished`` jobs are in no other figure.

    ``big_p95_wait`` is that of jobs with many GPUs; ``utilisation`` the share of GPU time that
    was held from the first submission to the last end.
    """

    jobs: int
    unfinished: int
    mean_wait: float
    median_wait: float
    p95_wait: float
    max_wait: float
    big_p95_wait: float
    mean_slowdown: float
    jain: float
    utilisation: float
    makespan: float
    users: dict[str, UserSummary]


def summarize(outcomes: Sequence[Outcome], gpus: int) -> Summary:
    """The figures of one replay on ``gpus`` GPUs."""
    done = [outcome for outcome in outcomes if outcome.ended is not None]
    waits = [wait(outcome) for outcome in done]
    users = _by_user(done)
    makespan = max((outcome.ended or 0.0 for outcome in done), default=0.0)
    held = sum(outcome.job.gpus * outcome.served for outcome in done)
    return Summary(
        len(done),
        len(outcomes) - len(done),
        fmean(waits) if waits else 0.0,
        median(waits) if waits else 0.0,
        percentile(waits, 0.95),
        max(waits, default=0.0),
        percentile([wait(outcome) for outcome in done if outcome.job.gpus >= BIG], 0.95),
        fmean(map(slowdown, done)) if done else 0.0,
        jain([user.mean_slowdown for user in users.values()]),
        held / (gpus * makespan) if makespan else 0.0,
        makespan,
        users,
    )


def wait(outcome: Outcome) -> float:
    """How long a job that has ended did not run, from its submission on."""
    return max(0.0, (outcome.ended or 0.0) - outcome.job.submit - outcome.served)


def slowdown(outcome: Outcome) -> float:
    """The bounded slowdown of a job that has ended."""
    return max(1.0, (wait(outcome) + outcome.served) / max(outcome.served, TAU))


def jain(values: Sequence[float]) -> float:
    """Jain's index: the square of the sum over n times the sum of the squares; 1 for none."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that ``share`` of all values do not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _by_user(done: Iterable[Outcome]) -> dict[str, UserSummary]:
    of: dict[str, list[Outcome]] = {}
    for outcome in done:
        of.setdefault(outcome.job.user, []).append(outcome)
    return {user: _user(of[user]) for user in sorted(of)}


def _user(own: Sequence[Outcome]) -> UserSummary:
    used = sum(outcome.job.gpus * outcome.served for outcome in own)
    return UserSummary(len(own), used, fmean(map(wait, own)), fmean(map(slowdown, own)))
