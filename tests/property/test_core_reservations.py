"""Whatever is reserved and whatever runs: no reservation is broken by what was let in."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mgpu.core.orders import Reserve
from mgpu.core.reservations import derive, latest_end, rights_of
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.job import Pending, Running, Stopping
from mgpu.model.records import Reservation
from mgpu.model.time import Now
from mgpu.testing.builders import EPOCH, Desk, a_spec

GPUS = 4
LIMITS = st.sampled_from([None, 60, 300, 1000])

reservations = st.builds(
    lambda start, length, count, exact, preempt, whose: Reserve(
        0,
        "",
        length,
        EPOCH + start,
        0 if exact else count,
        tuple(sorted(exact)),
        users=(f"u{1000 + whose}",),
        preempt=preempt,
    ),
    st.integers(0, 1500),
    st.integers(1, 600),
    st.integers(1, GPUS),
    st.sets(st.sampled_from([f"GPU-{index}" for index in range(GPUS)]), max_size=2),
    st.booleans(),
    st.integers(0, 2),
)
jobs = st.tuples(st.integers(0, 3), st.integers(1, 2), LIMITS, st.booleans())
steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), reservations),
        st.tuples(st.just("job"), jobs),
        st.tuples(st.just("wait"), st.integers(1, 400)),
        st.tuples(st.just("end"), st.integers(0, 9)),
    ),
    max_size=25,
)


def work(desk: Desk, step: str, value: Any) -> None:
    """One step of a day."""
    if step == "reserve":
        with contextlib.suppress(MgpuError):
            desk.ask(value)
    elif step == "job":
        whose, gpus, limit, requeue = value
        desk.submit(a_spec(gpus, limit=limit, requeue=requeue), uid=1000 + whose)
    elif step == "wait":
        pass_time(desk, value)
    else:
        running = sorted(desk.world.placed)
        if running:
            desk.end(running[value % len(running)])


def pass_time(desk: Desk, seconds: int) -> None:
    """Second for second is too slow: from one end of a limit or reservation to the next."""
    until = desk.now.boot + seconds
    while desk.now.boot < until:
        ends = [latest_end(job, desk.world.policy, desk.now) for job in desk.world.placed.values()]
        offset = desk.now.boot - desk.now.wall
        for one in desk.world.records.all(Reservation):
            ends += [one.start + offset, one.end + offset]
        desk.wait(min([until, *(end for end in ends if end > desk.now.boot)]) - desk.now.boot)
        for job in list(desk.world.placed.values()):
            if latest_end(job, desk.world.policy, desk.now) <= desk.now.boot:
                desk.end(job.id)
        run(desk)


def run(desk: Desk) -> None:
    """A pass; what it starts runs, what it or a reservation switches out has ended."""
    desk.launched(*desk.run())
    for job in list(desk.world.placed.values()):
        if isinstance(job.phase, Stopping):
            desk.end(job.id, signal=15, cause="cancel")
    for number, job in desk.world.jobs.items():
        if isinstance(job.phase, Pending):
            assert desk.reason(number)[0]


def guests(world: World, now: Now, one: Reservation, since: float) -> list[int]:
    """Jobs that run on its GPUs, are not of its people, and started after ``since``."""
    return [
        job.id
        for uuid in derive(world, now).chosen[one.id]
        for job in world.ledger.on(uuid)
        if isinstance(job.phase, Running)
        and one.id not in rights_of(world, job)
        and job.phase.started.boot > since
    ]


@settings(max_examples=200, deadline=None)
@given(steps)
def test_inside_a_reservation_nobody_else_runs(plan: list[tuple[str, Any]]) -> None:
    """Each has its GPUs, and of what started after all reservations nothing is a guest there."""
    desk = Desk(*[8] * GPUS)
    since: dict[int, float] = {}
    for step, value in plan:
        work(desk, step, value)
        run(desk)
        chosen = derive(desk.world, desk.now).chosen
        known = desk.world.records.all(Reservation)
        for one in known:
            since.setdefault(one.id, desk.now.boot)
        for one in known:
            assert len(set(chosen[one.id])) == len(chosen[one.id]) == (one.count or len(one.gpus))
            if one.start <= desk.now.wall < one.end:
                assert guests(desk.world, desk.now, one, max(since.values())) == []


@settings(max_examples=150, deadline=None)
@given(st.lists(reservations, max_size=12))
def test_reservations_never_share_a_gpu(orders: list[Reserve]) -> None:
    desk = Desk(*[8] * GPUS)
    for order in orders:
        with contextlib.suppress(MgpuError):
            desk.ask(order)
    for on_gpu in derive(desk.world, desk.now).claims.values():
        for one, other in pairwise(on_gpu):
            assert one.end <= other.start
