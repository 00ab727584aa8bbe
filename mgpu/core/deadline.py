"""Deadlines: a waiting job that cannot be over in time any more is removed (sbatch(1))."""

from __future__ import annotations

from mgpu.core.policy import effective_limit
from mgpu.core.queue import LOOK_AT_WALL
from mgpu.core.world import World
from mgpu.model.events import Event, Refused
from mgpu.model.job import Job, Pending
from mgpu.model.states import Reason
from mgpu.model.time import Now
from mgpu.model.units import format_duration

_KEY = "deadlines"


def settle(world: World, now: Now) -> list[Event]:
    """Remove the jobs that have become too late."""
    late: list[Event] = []
    times = []
    for job in world.due.values():
        if not isinstance(job.phase, Pending):
            continue
        last = latest_start(world, job)
        if last < now.wall:
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


def latest_start(world: World, job: Job) -> float:
    """The Unix time at which a job must start to be over in time; without a limit, its deadline."""
    return (job.spec.deadline or 0.0) - effective_limit(job.spec, world.policy)


def seconds_left(job: Job, limit: int, wall: float) -> int:
    """The time limit of an attempt that starts at ``wall``: never beyond the deadline."""
    if job.spec.deadline is None:
        return limit
    left = max(1, int(job.spec.deadline - wall))
    return min(limit, left) if limit else left


def _told(world: World, job: Job) -> str:
    limit = effective_limit(job.spec, world.policy)
    if not limit:
        return "it had not started by its deadline"
    return f"it may run {format_duration(limit)} and can no longer be over by its deadline"
