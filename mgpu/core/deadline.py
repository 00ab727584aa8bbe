"""Deadlines: a waiting job that cannot be over in time any more is removed (sbatch(1))."""

from __future__ import annotations

from typing import Final

from mgpu.core.policy import effective_limit
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import Event, Refused
from mgpu.model.job import Job, JobSpec, Pending
from mgpu.model.states import Reason
from mgpu.model.time import LOOK_AT_WALL, Now
from mgpu.model.units import format_duration

_KEY = "deadlines"
LATE: Final = "it was not over by its deadline"


def settle(world: World, now: Now) -> list[Event]:
    """Remove the jobs that have become too late."""
    late: list[Event] = []
    times = []
    for job in world.due.values():
        if not isinstance(job.phase, Pending):
            continue
        last = _latest_start(world, job)
        if last < max(now.wall, job.begin):
            late.append(Refused(now, job.id, Reason.DEADLINE, _told(world, job)))
        else:
            times.append(last - now.wall)
    wait = min([*times, LOOK_AT_WALL]) if times else None
    world.derived[_KEY] = None if wait is None else now.boot + wait + 0.001
    return late


def next_change(world: World) -> float | None:
    """The boot time at which a job may become too late, as of the last :func:`settle`."""
    known: float | None = world.derived.get(_KEY)
    return known


def _latest_start(world: World, job: Job) -> float:
    """The Unix time at which a job must start to be over in time; without a limit, its deadline."""
    return (job.spec.deadline or 0.0) - effective_limit(job.spec, world.policy)


def seconds_left(job: Job, limit: int, wall: float) -> int:
    """The time limit of an attempt that starts at ``wall``: never beyond the deadline."""
    if job.spec.deadline is None:
        return limit
    left = max(1, int(job.spec.deadline - wall))
    return min(limit, left) if limit else left


def is_over(job: Job, wall: float) -> bool:
    """Whether an attempt that met its limit at ``wall`` (Unix time) met its deadline."""
    return job.spec.deadline is not None and wall >= job.spec.deadline - 1.0


def check(world: World, spec: JobSpec, begin: float, now: Now) -> None:
    """Refuse a submission that cannot be over in time; ``begin`` as in Job."""
    if spec.deadline is None:
        return
    left = spec.deadline - max(begin, now.wall)
    limit = effective_limit(spec, world.policy)
    if left <= 0 or left < limit:
        room = format_duration(max(0.0, left))
        asked = f"it may run {format_duration(limit)}" if limit else "it cannot be over by then"
        raise MgpuError(
            "Refused",
            f"{room} are left from its begin to its deadline; {asked}",
            path="spec.deadline",
            hint="give a later --deadline, a shorter --time-limit or an earlier --begin",
        )


def _told(world: World, job: Job) -> str:
    limit = effective_limit(job.spec, world.policy)
    if not limit:
        return LATE
    return f"it may run {format_duration(limit)} and can no longer be over by its deadline"
