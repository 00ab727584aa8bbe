"""What has to be done outside, from the world and what is seen of the attempts."""

from __future__ import annotations

import pytest

from mgpu.core.effects import (
    LIVE,
    ORDERED,
    OVER,
    STOPPING,
    Acknowledge,
    Effect,
    Kill,
    Launch,
    Stop,
    required_effects,
)
from mgpu.core.policy import Policy
from mgpu.core.requests import AttemptVanished
from mgpu.model.gpu import Inventory
from mgpu.testing.builders import Desk, a_spec

NOTHING: list[Effect] = []
ATTEMPT = (1, 1)


def a_desk(phase: str) -> Desk:
    desk = Desk(1000, policy=Policy(grace=12))
    desk.submit(a_spec())
    if phase != "pending":
        desk.run()
    if phase == "running":
        desk.launched(1)
    if phase == "stopping":
        desk.cancel(1)
    if phase == "ended":
        desk.end(1)
    return desk


@pytest.mark.parametrize(
    ("phase", "seen", "effects"),
    [
        ("pending", None, NOTHING),
        ("pending", ORDERED, [Kill(1, 1)]),
        ("pending", LIVE, [Kill(1, 1)]),
        ("pending", STOPPING, NOTHING),
        ("pending", OVER, [Acknowledge(1, 1)]),
        ("starting", None, [Launch(1, 1)]),
        ("starting", ORDERED, NOTHING),
        ("starting", LIVE, NOTHING),
        ("starting", STOPPING, NOTHING),
        ("starting", OVER, NOTHING),
        ("running", None, [Kill(1, 1)]),
        ("running", ORDERED, NOTHING),
        ("running", LIVE, NOTHING),
        ("running", STOPPING, NOTHING),
        ("running", OVER, NOTHING),
        ("stopping", None, [Kill(1, 1)]),
        ("stopping", ORDERED, [Stop(1, 1, 12)]),
        ("stopping", LIVE, [Stop(1, 1, 12)]),
        ("stopping", STOPPING, NOTHING),
        ("stopping", OVER, NOTHING),
        ("ended", None, NOTHING),
        ("ended", ORDERED, [Kill(1, 1)]),
        ("ended", LIVE, [Kill(1, 1)]),
        ("ended", STOPPING, NOTHING),
        ("ended", OVER, [Acknowledge(1, 1)]),
    ],
)
def test_every_phase_and_observation(phase: str, seen: str | None, effects: list[Effect]) -> None:
    desk = a_desk(phase)
    observed = {} if seen is None else {ATTEMPT: seen}
    assert required_effects(desk.world, observed) == effects
    assert required_effects(desk.world, observed) == effects


def test_an_older_attempt_is_not_the_current_one() -> None:
    desk = a_desk("running")
    desk.end(1, None, 15, cause="timelimit")
    desk.run()
    assert required_effects(desk.world, {(1, 1): OVER}) == [Launch(1, 2), Acknowledge(1, 1)]
    assert required_effects(desk.world, {(1, 1): LIVE, (1, 2): LIVE}) == [Kill(1, 1)]


def test_attempts_of_jobs_that_nobody_knows_are_killed() -> None:
    assert required_effects(Desk(1000).world, {(9, 1): LIVE}) == [Kill(9, 1)]


def test_a_job_that_is_to_start_on_a_gpu_that_is_gone_waits_again() -> None:
    desk = a_desk("starting")
    desk.world.set_inventory(Inventory("nvml", ()))
    assert required_effects(desk.world, {}) == [Kill(1, 1)]
    desk.report(AttemptVanished, 1)
    assert desk.job(1).state == "PENDING"
