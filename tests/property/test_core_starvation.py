"""A big job starts however many small ones come, and on time where limits tell the time."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from mgpu.core.policy import Policy
from mgpu.core.schedule import outlook
from mgpu.model.job import JobSpec
from mgpu.testing.builders import Desk, a_spec

LONGEST = 5
TOTALS = (1000, 1000, 600)

#: A small job: MiB (None: the GPU for itself), the seconds it takes, whether it says so.
Small = tuple[int | None, int, bool]


def small_jobs(limits: st.SearchStrategy[bool]) -> st.SearchStrategy[list[Small]]:
    memory = st.sampled_from([None, 100, 300, 500, 900])
    return st.lists(st.tuples(memory, st.integers(1, LONGEST), limits), min_size=3, max_size=12)


big_jobs = st.sampled_from(
    [a_spec(1, 1000), a_spec(2, 900), a_spec(2), a_spec(3), a_spec(3, 600, exclusive=True)]
)


class Stream:
    """An endless stream: the small jobs over and over, at least three of them always waiting."""

    def __init__(self, small: list[Small]) -> None:
        self.desk = Desk(*TOTALS, policy=Policy(max_pending_per_user=0))
        self.small = small
        self.sent = 0
        self.over: dict[int, float] = {}
        self.takes: dict[int, int] = {}

    def send(self, count: int) -> None:
        for _ in range(count):
            memory, takes, says = self.small[self.sent % len(self.small)]
            self.sent += 1
            number = self.desk.submit(a_spec(1, memory, limit=takes if says else None))
            self.takes[number] = takes

    def second(self) -> dict[int, tuple[int, ...]]:
        """What is over ends, then one pass; what it started."""
        for number in [n for n, over in self.over.items() if over <= self.desk.now.boot]:
            del self.over[number]
            self.desk.end(number)
        self.send(max(0, 3 - len(self.desk.world.jobs) + len(self.desk.world.placed)))
        started = self.desk.run()
        for number in started.keys() & self.takes.keys():
            self.over[number] = self.desk.now.boot + self.takes[number]
        self.desk.wait(1)
        return started


def seconds_until_started(stream: Stream, big: JobSpec) -> tuple[int, float]:
    """After how many seconds the big job starts, and the bound first promised for it."""
    for _ in range(3):
        stream.second()
    number = stream.desk.submit(big)
    promised = math.inf
    begun = stream.desk.now.boot
    for waited in range(100):
        stream.send(1)
        started = stream.second()
        if number in started:
            return waited, promised
        held = outlook(stream.desk.world, stream.desk.now).reservation
        if held is not None and held.job.id == number:
            promised = min(promised, held.at - begun)
    raise AssertionError(f"{big} starves")


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(small=small_jobs(st.booleans()), big=big_jobs)
def test_a_big_job_starts_under_an_endless_stream(small: list[Small], big: JobSpec) -> None:
    waited, _ = seconds_until_started(Stream(small), big)
    # Small ones that came first, those that run then, and those with a limit that passed it.
    assert waited <= 4 * LONGEST


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(small=small_jobs(st.just(True)), big=big_jobs)
def test_where_all_have_limits_the_promise_is_kept(small: list[Small], big: JobSpec) -> None:
    waited, promised = seconds_until_started(Stream(small), big)
    assert waited <= promised


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(small=small_jobs(st.just(False)), big=big_jobs)
def test_without_any_limit_it_starts_once_those_that_ran_before_are_over(
    small: list[Small], big: JobSpec
) -> None:
    waited, promised = seconds_until_started(Stream(small), big)
    assert waited <= 3 * LONGEST
    assert promised == math.inf
