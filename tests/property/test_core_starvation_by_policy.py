"""A big job starts in bounded time in every order, also where small jobs come back for ever.

The small ones are of other users. They end well, fail and are tried again, or are switched out at
their limit and wait anew; whenever fewer than eight wait, another comes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgpu.core.extension import extensions
from mgpu.core.policy import Policy
from mgpu.core.schedule import schedule
from mgpu.model.job import JobSpec
from mgpu.testing.builders import Desk, a_spec

TOTALS = (1000, 1000, 600)
HOUR = 3600
#: Seconds of a step, and how many of them a small job takes at the most.
STEP, LONGEST = 600, 5
#: At least so many small ones wait at any time.
WAITING = 8
#: The longest limit where the machine has one.
LIMIT = LONGEST * STEP

FIFO = Policy(max_pending_per_user=0, drain_after=4.0 * HOUR)
FAIR = replace(FIFO, order="fairshare")


class Small(NamedTuple):
    """MiB (None: the GPU for itself), the steps it takes, how it ends, whether it gives a limit."""

    memory: int | None
    takes: int
    ends: str
    says: bool


small_jobs = st.lists(
    st.builds(
        Small,
        st.sampled_from([None, 100, 300, 500, 900]),
        st.integers(1, LONGEST),
        st.sampled_from(["well", "badly", "at its limit"]),
        st.booleans(),
    ),
    min_size=3,
    max_size=8,
)
big_jobs = st.sampled_from([a_spec(2, 900), a_spec(2), a_spec(3), a_spec(3, 600, exclusive=True)])


class Stream:
    """Small jobs without end."""

    def __init__(self, small: list[Small], policy: Policy) -> None:
        self.desk = Desk(*TOTALS, policy=policy)
        self.small = small
        self.kinds: dict[int, Small] = {}
        self.over: dict[int, float] = {}

    def step(self) -> set[int]:
        """Time passes, then one pass is made; the jobs that it started."""
        desk = self.desk
        desk.wait(STEP)
        for number in [n for n, over in self.over.items() if over <= desk.now.boot]:
            del self.over[number]
            self.end(number, self.kinds[number].ends)
        while len(desk.world.jobs) - len(desk.world.placed) < WAITING:
            self.send()
        started = set(desk.run())
        desk.launched(*started)
        desk.apply(*extensions(desk.world, schedule(desk.world, desk.now).outlook, desk.now))
        for number in started & self.kinds.keys():
            self.over[number] = desk.now.boot + STEP * self.kinds[number].takes
        return started

    def end(self, number: int, how: str) -> None:
        cause = "timelimit" if how == "at its limit" else "exit"
        self.desk.end(number, int(how == "badly"), cause=cause)

    def send(self) -> None:
        kind = self.small[len(self.kinds) % len(self.small)]
        spec = a_spec(1, kind.memory, limit=STEP * kind.takes if kind.says else None)
        number = self.desk.submit(replace(spec, retries=3), uid=1001 + len(self.kinds) % 2)
        self.kinds[number] = kind


def hours_until_started(stream: Stream, big: JobSpec) -> float:
    """How long a big job of somebody else waits."""
    for _ in range(2 * LONGEST):
        stream.step()
    number, begun = stream.desk.submit(big), stream.desk.now.boot
    for _ in range(100 * HOUR // STEP):
        if number in stream.step():
            return (stream.desk.now.boot - begun) / HOUR
    return math.inf


@pytest.mark.parametrize(
    ("policy", "hours"),
    [
        # Those that came before, and those that ran when GPUs began to be left idle for it.
        (FIFO, 6),
        (replace(FIFO, max_job_time=LIMIT), 5),
        # Until its waiting outweighs the shorter limits of the others.
        (FAIR, 24),
        (replace(FAIR, max_job_time=LIMIT), 5),
        (replace(FAIR, max_job_time=LIMIT, on_time_limit="extend-when-idle"), 5),
        # Until its patience is at its end, if that is sooner.
        (replace(FAIR, patience=2.0 * HOUR), 6),
    ],
)
@settings(deadline=None, max_examples=20, derandomize=True, database=None)
@given(small=small_jobs, big=big_jobs)
def test_a_big_job_starts(policy: Policy, hours: float, small: list[Small], big: JobSpec) -> None:
    assert hours_until_started(Stream(small, policy), big) <= hours


def test_without_reservations_it_would_not() -> None:
    small = [Small(300, takes, "well", says=True) for takes in (2, 3, 5)]
    stream = Stream(small, replace(FIFO, backfill="greedy"))
    assert hours_until_started(stream, a_spec(3)) == math.inf
