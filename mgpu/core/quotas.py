"""Bounds of what users, groups and projects may hold, queue and use up.

A quota of a user binds all jobs of the user together, one of a group those of all its members,
one of a project those that name it. ``default:user`` binds each user without a quota of their
own, ``default:project`` each project without one. Over a bound of what runs a job waits; over
the bound of what waits a submission is refused.

GPU-hours are counted in windows of ``period`` seconds, the first of which began when the bound
was set. No job starts once they are used up; what runs then goes on and is counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from mgpu.core.tally import Load, Owner, Tally, memory_of, owner_of
from mgpu.core.world import World
from mgpu.model.events import Event
from mgpu.model.job import Job, JobSpec
from mgpu.model.records import Quota, Spending
from mgpu.model.states import Reason
from mgpu.model.time import LOOK_AT_WALL, Now
from mgpu.model.units import format_wait

Explained = tuple[str, str]
Bound = tuple[str, Quota]

HOUR: Final = 3600.0
DEFAULT_USER: Final = "default:user"
DEFAULT_PROJECT: Final = "default:project"


class Standing(NamedTuple):
    """How a subject stands: what it holds, and why its GPU-hours bar it, if they do."""

    subject: str
    quota: Quota
    mine: Callable[[Owner], bool]
    held: Load
    spent: Explained | None


def blocking(
    world: World, now: Now, owner: Owner, gpus: int, memory: int, starts: Tally
) -> Explained | None:
    """The reason why a job of ``owner`` may not start, with the figures, or None.

    It needs ``gpus`` and ``memory`` MiB of them in all (see :func:`least_memory` and
    :func:`memory_on`). ``starts`` are the starts of this pass, which the world does not know yet.
    """
    for standing in _standings(world, now, owner):
        held = standing.held
        if starts.running:
            held = held.plus(starts.load(standing.mine))
        found = _over_held(standing, held, gpus, memory) or (standing.spent if gpus else None)
        if found is not None:
            return found
    return None


def _standings(world: World, now: Now, owner: Owner) -> list[Standing]:
    """One for each quota that binds; the same list until something changes."""
    known: Any = world.derived.get("standings")
    if known is None or known[0] != (world.generation, now):
        known = world.derived["standings"] = ((world.generation, now), {})
    found: list[Standing] | None = known[1].get(owner)
    if found is None:
        groups = world.groups_of(owner.uid)
        found = [_standing(world, now, *bound) for bound in bounds(world, owner, groups)]
        known[1][owner] = found
    return found


def _standing(world: World, now: Now, subject: str, quota: Quota) -> Standing:
    mine = counts(world, subject)
    spent = _over_hours(world, now, subject, quota)
    return Standing(subject, quota, mine, world.tally.load(mine), spent)


def bounds(world: World, owner: Owner, groups: Sequence[str]) -> list[Bound]:
    """The quotas that bind a job of ``owner``, each with the subject that it is counted for."""
    if not world.records.all(Quota):
        return []
    found = [_bound(world, f"user:{owner.user}", DEFAULT_USER)]
    found += [_bound(world, f"group:{group}") for group in groups]
    if owner.project:
        found.append(_bound(world, f"project:{owner.project}", DEFAULT_PROJECT))
    return [bound for bound in found if bound is not None]


def _bound(world: World, subject: str, default: str = "") -> Bound | None:
    quota = world.records.get(Quota, subject) or world.records.get(Quota, default)
    return (subject, quota) if quota is not None else None


def counts(world: World, subject: str, member: int = -1) -> Callable[[Owner], bool]:
    """Whose jobs are counted for ``subject``; ``member`` is a uid that is in the group."""
    kind, _, name = subject.partition(":")
    if kind == "user":
        return lambda owner: owner.user == name
    if kind == "project":
        return lambda owner: owner.project == name
    return lambda owner: owner.uid == member or name in world.groups_of(owner.uid)


def named(subject: str) -> str:
    """``user ada`` for ``user:ada``."""
    return subject.replace(":", " ", 1)


# -- what runs ------------------------------------------------------------------------------------


def least_memory(world: World, spec: JobSpec) -> int:
    """The fewest MiB that a job with ``spec`` can hold on GPUs of this machine."""
    sizes = [gpu.total for gpu in world.gpus.values() if gpu.total >= (spec.gpu_mem or 0)]
    return memory_of(spec, sorted(sizes)[: spec.gpus])


def memory_on(world: World, spec: JobSpec, gpus: Sequence[str]) -> int:
    """The MiB that a job with ``spec`` holds on these GPUs."""
    return memory_of(spec, [world.gpus[uuid].total for uuid in gpus if uuid in world.gpus])


def _over_held(standing: Standing, held: Load, gpus: int, memory: int) -> Explained | None:
    who, quota = named(standing.subject), standing.quota
    if quota.running_jobs is not None and held.jobs + 1 > quota.running_jobs:
        return Reason.QUOTA_JOBS, f"{who}: {held.jobs} of at most {quota.running_jobs} jobs run"
    if quota.running_gpus is not None and gpus and held.gpus + gpus > quota.running_gpus:
        have = f"{who}: {held.gpus} of at most {quota.running_gpus} GPUs held"
        return Reason.QUOTA_GPUS, f"{have}; {_needs(gpus, '', quota.running_gpus)}"
    if quota.gpu_memory is not None and memory and held.memory + memory > quota.gpu_memory:
        have = f"{who}: {held.memory} of at most {quota.gpu_memory} MiB held"
        return Reason.QUOTA_MEMORY, f"{have}; {_needs(memory, ' MiB', quota.gpu_memory)}"
    return None


def _needs(amount: int, unit: str, bound: int) -> str:
    more = ", more than the bound: it cannot start" if amount > bound else ""
    return f"this job needs {amount}{unit}{more}"


# -- what waits -----------------------------------------------------------------------------------


def over_queue(world: World, owner: Owner, groups: Sequence[str], count: int) -> str:
    """What keeps ``count`` more jobs out of the queue, with the figures; empty if nothing does."""
    for subject, quota in bounds(world, owner, groups):
        waiting = world.tally.waiting(counts(world, subject, owner.uid))
        if quota.queued_jobs is not None and waiting + count > quota.queued_jobs:
            have = f"{named(subject)}: {waiting} of at most {quota.queued_jobs} queued jobs wait"
            return f"{have}; {count} more are too many"
    return ""


# -- GPU-hours ------------------------------------------------------------------------------------


def window(quota: Quota, wall: float) -> float:
    """When the period began in which ``wall`` lies (Unix times)."""
    return quota.since + math.floor((wall - quota.since) / quota.period) * quota.period


def used(world: World, now: Now, subject: str, quota: Quota) -> float:
    """The GPU-seconds of ``subject`` in the present period; what runs counts up to now."""
    begun = window(quota, now.wall)
    kept = world.records.get(Spending, subject)
    seconds = kept.gpu_seconds if kept is not None and kept.since == begun else 0.0
    mine = counts(world, subject)
    for job in world.placed.values():
        if job.spec.gpus and mine(owner_of(job)):
            seconds += job.spec.gpus * min(_elapsed(job, now), now.wall - begun)
    return seconds


def charge(world: World, job: Job, wall: float) -> None:
    """Keep what an attempt that ends at ``wall`` used; only ``core.lifecycle`` may call this."""
    started = job.begun
    if started is None or not job.spec.gpus:
        return
    for subject, quota in bounds(world, owner_of(job), world.groups_of(job.uid)):
        if quota.gpu_hours is not None:
            begun = window(quota, wall)
            kept = world.records.get(Spending, subject)
            before = kept.gpu_seconds if kept is not None and kept.since == begun else 0.0
            seconds = job.spec.gpus * max(0.0, wall - max(started.wall, begun))
            world.records.put(Spending(subject, begun, before + seconds))


def settle(world: World, now: Now) -> list[Event]:
    """Nothing follows by itself; but a new period lets jobs go on, so note when that begins."""
    ends = [
        window(quota, now.wall) + quota.period
        for quota in world.records.all(Quota)
        if quota.gpu_hours is not None
    ]
    wait = min(min(ends, default=math.inf) - now.wall, LOOK_AT_WALL)
    world.derived["quotas"] = now.boot + wait if ends else None
    return []


def next_change(world: World) -> float | None:
    """The boot time at which a period of a quota may begin, as of the last :func:`settle`."""
    known: float | None = world.derived.get("quotas")
    return known


def _over_hours(world: World, now: Now, subject: str, quota: Quota) -> Explained | None:
    if quota.gpu_hours is None:
        return None
    seconds = used(world, now, subject, quota)
    if seconds < quota.gpu_hours * HOUR:
        return None
    left = format_wait(window(quota, now.wall) + quota.period - now.wall)
    have = f"{named(subject)}: {seconds / HOUR:.1f} of at most {quota.gpu_hours:g} GPU-hours used"
    return Reason.QUOTA_HOURS, f"{have}; counted anew in {left}"


def _elapsed(job: Job, now: Now) -> float:
    return max(0.0, now.boot - job.begun.boot) if job.begun is not None else 0.0
