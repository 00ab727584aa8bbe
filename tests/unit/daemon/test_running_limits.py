"""The bounds of jobs that run hold whatever way a job comes to its start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mgpu.model.job import Pending
from tests.unit.daemon.rig import ALICE, BOB, Rig, a_submit

OF_A_USER, WITHOUT_GPUS = 2, 3


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A scheduler with small bounds."""
    return make_rig(
        limits__request_burst=100_000,
        limits__running_per_user=OF_A_USER,
        limits__running_without_gpus=WITHOUT_GPUS,
    )


def placed(rig: Rig, uid: int | None = None) -> list[int]:
    """The jobs that have an attempt under way."""
    jobs = rig.active().values()
    return [job.id for job in jobs if not isinstance(job.phase, Pending) and uid in (None, job.uid)]


def end_first(rig: Rig, **how: Any) -> None:
    """Let alice's first attempt end so, and time pass for another."""
    job = rig.active()[placed(rig, ALICE)[0]]
    supervisor = rig.supervisor(job.id, job.attempt)
    supervisor.runs()
    supervisor.ends(**how)
    rig.launcher.about("gone", supervisor.key)


@pytest.mark.parametrize(
    "shape", [{"count": 9}, {"array": "0-8"}, {"array": "0-8%5"}, {"count": 9, "gpu_mem": 1}]
)
def test_so_many_jobs_of_a_user_run(rig: Rig, shape: dict[str, Any]) -> None:
    rig.submit(gpus=1 if "gpu_mem" in shape else 0, **shape)
    assert len(placed(rig, ALICE)) == OF_A_USER
    for _ in range(5):
        end_first(rig)
        assert len(placed(rig, ALICE)) == OF_A_USER


@pytest.mark.parametrize("shape", [{"count": 9}, {"array": "0-8"}])
def test_so_many_jobs_without_gpus_run_whosever_they_are(rig: Rig, shape: dict[str, Any]) -> None:
    for uid in (ALICE, BOB, BOB + 1):
        rig.submit(uid, gpus=0, **shape)
    assert len(placed(rig)) == WITHOUT_GPUS
    rig.submit(BOB + 2, gpus=1)
    assert len(placed(rig)) == WITHOUT_GPUS + 1
    end_first(rig)
    assert len(placed(rig)) == WITHOUT_GPUS + 1


@pytest.mark.parametrize(
    "how",
    [
        {"code": None, "signal": 15, "cause": "limit"},
        {"code": 3},
    ],
    ids=["requeued at its limit", "tried again after a failure"],
)
def test_a_job_that_comes_back_waits_for_its_turn(rig: Rig, how: dict[str, Any]) -> None:
    rig.submit(gpus=0, count=4, time_limit=60, retries=3)
    for _ in range(6):
        end_first(rig, **how)
        assert len(placed(rig, ALICE)) == OF_A_USER
        rig.wait(3600)
        assert len(placed(rig, ALICE)) == OF_A_USER
    assert len(rig.active()) == 4


def test_a_start_that_is_tried_again_counts(rig: Rig) -> None:
    rig.submit(gpus=0, count=4)
    for _ in range(3):
        job = rig.active()[placed(rig, ALICE)[0]]
        rig.launcher.refuses((job.id, job.attempt))
        assert len(placed(rig, ALICE)) == OF_A_USER
        rig.wait(60)
        assert len(placed(rig, ALICE)) == OF_A_USER


def test_released_and_recurring_jobs_count(rig: Rig) -> None:
    held = rig.submit(gpus=0, count=4, hold=True)
    rig.client().one(a_submit("c", gpus=0, cron="* * * * *", overlap="queue"))
    rig.client().one({"op": "release", "jobs": [*range(held, held + 4)]})
    for _ in range(3):
        rig.wait(60)
        assert len(placed(rig, ALICE)) == OF_A_USER


def test_why_they_wait_is_told(rig: Rig) -> None:
    first = rig.submit(gpus=0, count=3)
    rig.submit(BOB, gpus=0, count=1)
    last = rig.submit(BOB + 1, gpus=0)
    client = rig.client()
    rows = client.one({"op": "why", "jobs": [first + 2, last]})["ok"]["rows"]
    assert rows[0][5][0] == "QuotaJobs: 2 of your jobs run; 2 may run at once."
    assert "3 jobs without GPUs" in rows[1][5][0]
