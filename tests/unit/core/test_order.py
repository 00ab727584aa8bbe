"""Whose turn it is: what a rank is made of."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mgpu.core.order import TURN
from mgpu.core.policy import Policy
from mgpu.testing.builders import Desk, a_spec

FAIR = Policy(order="fairshare", max_job_time=600)
limits = st.none() | st.integers(60, 10_000)


@settings(max_examples=50)
@given(
    gpus=st.integers(1, 4),
    own=limits,
    other=limits,
    used=st.integers(0, 20),
    waited=st.integers(1, 500),
)
def test_after_a_job_was_switched_out_who_waited_comes_first(
    gpus: int, own: int | None, other: int | None, used: int, waited: int
) -> None:
    """Whatever the limits, the sizes and what they used before."""
    desk = Desk(*[1000] * 4, policy=FAIR)
    for _ in range(used):
        number = desk.submit(a_spec(4, limit=600), uid=2000)
        desk.run()
        desk.launched(number)
        desk.wait(500)
        desk.end(number)
    big = desk.submit(a_spec(4, limit=own))
    desk.run()
    desk.launched(big)
    desk.wait(600 - waited)
    small = desk.submit(a_spec(gpus, limit=other), uid=2000)
    desk.run()
    desk.wait(waited)
    desk.end(big, None, 15, cause="timelimit")
    assert list(desk.run()) == [small]


def test_a_minute_later_its_rank_is_that_of_any_other() -> None:
    desk = Desk(1000, 1000, policy=FAIR)
    desk.submit(a_spec(2))
    desk.run()
    desk.launched(1)
    desk.wait(600)
    desk.set_gpu(0, available=False)
    desk.set_gpu(1, available=False)
    desk.end(1, None, 15, cause="timelimit")
    desk.submit(a_spec(1), uid=2000)
    desk.wait(TURN)
    desk.set_gpu(0, available=True)
    desk.set_gpu(1, available=True)
    assert list(desk.run()) == [1]


def test_where_nobody_waits_it_goes_on_at_once() -> None:
    desk = Desk(1000, policy=FAIR)
    desk.submit(a_spec())
    desk.run()
    desk.launched(1)
    desk.wait(600)
    desk.end(1, None, 15, cause="timelimit")
    assert desk.run() == {1: (0,)}
