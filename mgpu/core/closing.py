"""What an attempt leaves in the history when it is over."""

from __future__ import annotations

from dataclasses import replace

from mgpu.core import seen, usage
from mgpu.core.policy import effective_limit
from mgpu.core.setbacks import started_wall
from mgpu.core.tally import weight
from mgpu.core.world import World
from mgpu.model.job import Job
from mgpu.model.records import Seen
from mgpu.model.runs import Run
from mgpu.model.time import Now


def close(
    world: World,
    job: Job,
    at: Now,
    state: str,
    *,
    final: bool = True,
    code: int | None = None,
    signal: int | None = None,
) -> None:
    """Account for the job's attempt that is over, or for its end without one.

    To be called while the job still holds what it had.
    """
    run = run_of(world, job, at, state)
    world.closed.append(replace(run, final=final, code=code, signal=signal))
    if world.records.get(Seen, job.id) is not None:
        world.records.drop(Seen.__name__, str(job.id))


def run_of(world: World, job: Job, at: Now, state: str) -> Run:
    """The job's present attempt as if it were over now."""
    started = started_wall(job)
    sums = seen.total(world, job, at.boot)
    told = sums.told > 0
    return Run(
        job.id,
        job.attempt if job.id in world.placed else 0,
        job.uid,
        job.user,
        job.spec.project,
        state,
        False,
        job.submitted,
        # The wall clock may have been set back meanwhile; a duration is never negative.
        max(at.wall, job.submitted if started is None else started),
        started,
        wait=_wait(job, started),
        array=job.array,
        tasks=weight(job),
        gpus=job.gpus,
        gpu_mem=job.spec.gpu_mem,
        time_limit=effective_limit(job.spec, world.policy) or None,
        peak=max((peak for _, peak in usage.peaks(world, job)), default=None),
        mean=sums.memory / sums.seconds if sums.seconds else None,
        utilization=sums.busy / sums.told if told else None,
        idle=sums.idle if told else None,
        seen=sums.seconds,
    )


def _wait(job: Job, started: float | None) -> float | None:
    if started is None or job.attempt != 1:
        return None
    return max(0.0, started - max(job.submitted, job.begin))
