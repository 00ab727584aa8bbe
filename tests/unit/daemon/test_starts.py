"""Expected starts as they are told: those that are known, and what the others wait for."""

from __future__ import annotations

from typing import Any

from tests.unit.daemon.rig import Rig

#: All that there are.
GPUS = 2


def told(rig: Rig, *jobs: int | str) -> dict[int, tuple[float | None, list[int], str, str]]:
    """When (seconds from now), where, after which job and why not, by id."""
    now = rig.clock.at.wall
    rows: list[Any] = rig.client().one({"op": "starts", "jobs": [*jobs]})["ok"]["rows"]
    return {
        number: (None if wall is None else round(wall - now), gpus, after, why)
        for number, _, _, _, wall, gpus, after, why in rows
    }


def test_all_that_wait_are_told(rig: Rig) -> None:
    running = rig.submit(gpus=GPUS, time_limit=100)
    known = rig.submit(time_limit=10)
    begins = rig.submit(begin=int(rig.clock.at.wall) + 3600)
    held = rig.submit(hold=True)
    after = rig.submit(dependency=f"afterok:{known}")
    rig.settle()
    assert told(rig) == {
        known: (100, [0], str(running), ""),
        begins: (3600, [], "", "BeginTime: begins in 1:00:00"),
        held: (None, [], "", "JobHeldUser"),
        after: (None, [], "", f"Dependency: waits for job {known} (waiting) to end well"),
    }
    assert list(told(rig)) == [known, begins, held, after]
    assert list(told(rig, held, running)) == [held]


def test_a_job_behind_one_without_a_limit_is_told_with_its_reason(rig: Rig) -> None:
    rig.submit(gpus=GPUS)
    late = rig.submit(time_limit=10)
    ((wall, _, _, why),) = told(rig).values()
    assert wall is None
    assert (
        why
        == "Resources: needs 1 GPU for itself; free: none; gpu0 held by job 1, gpu1 held by job 1"
    )
    assert list(told(rig)) == [late]
