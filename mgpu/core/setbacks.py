"""What it costs a job that its runs end too soon again and again."""

from __future__ import annotations

from typing import Final

from mgpu.model import states
from mgpu.model.events import Requeued, Retried
from mgpu.model.job import Job

#: Seconds after which a run is none that the machine went down under soon.
LASTING: Final = 86400.0

#: Seconds: a run that is over sooner is short. So many short ones are put back at once; after that
#: each waits twice as long as the one before, up to the last number.
SHORT: Final = 10.0
FREE_TURNS: Final = 3
LONGEST_PAUSE: Final = 60


def crashes_after(job: Job, wall: float) -> int:
    """How often in a row the machine has gone down under a job, now that it has again."""
    started = started_wall(job)
    lasted = started is not None and wall - started >= LASTING
    return 1 if lasted else job.crashes + 1


def pause_after(job: Job, event: Requeued) -> float:
    """Seconds to wait before the next run of a job that comes back again and again at once.

    Else one user could keep the machine busy with nothing but starting their jobs.
    """
    started = started_wall(job)
    if event.state != states.TIMEOUT or started is None or event.at.wall - started >= SHORT:
        return 0.0
    turns = job.restarts - FREE_TURNS
    return float(min(2**turns, LONGEST_PAUSE)) if turns >= 0 else 0.0


def failure(event: Retried) -> str:
    """How a run failed that is tried again."""
    if event.signal is not None:
        return f"ended by signal {event.signal}"
    return "failed" if event.code is None else f"failed with code {event.code}"


def started_wall(job: Job) -> float | None:
    """The Unix time at which the present attempt was seen to run; None before."""
    return job.begun.wall if job.begun is not None else None
