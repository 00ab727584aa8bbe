"""Holding waiting jobs back, and letting them go on."""

from __future__ import annotations

from typing import Final

from mgpu.core import arrays
from mgpu.core.requests import Hold, Release
from mgpu.core.roster import Part
from mgpu.core.wishes import (
    CHANGED,
    ENDED,
    STARTED,
    Outcomes,
    change_outcome,
    outcomes,
    own_parts,
)
from mgpu.core.world import World
from mgpu.model.events import Event, Held, Released
from mgpu.model.job import Job, Pending
from mgpu.model.time import Now

#: What became of a job that an administrator holds: only one can release it.
HELD_BY_ADMIN: Final = "admin"
USER: Final = "user"
ADMIN: Final = "admin"


def hold(world: World, wish: Hold, now: Now) -> tuple[list[Event], Outcomes]:
    """Keep jobs from starting. A hold of somebody else than the owner is an administrator's."""
    named = own_parts(world, wish)
    told = outcomes(named, change_outcome, (CHANGED, STARTED, ENDED))
    waiting = [p for parts in named.values() for p in parts if _may_be_held(p, wish.uid)]
    events, numbers = arrays.cut(world, waiting, now)
    by = {job.id: _by(job, wish.uid) for job, _ in waiting}
    who = ADMIN if ADMIN in by.values() else USER
    events += [Held(now, n, wish.uid, by.get(n, who)) for n in numbers]
    return events, told


def release(world: World, wish: Release, now: Now) -> tuple[list[Event], Outcomes]:
    """Let held jobs go on; with ``begin`` any waiting job, but not before then."""
    named = own_parts(world, wish)
    told = outcomes(
        named,
        lambda job: HELD_BY_ADMIN if _is_kept(job, may_any=wish.may_any) else change_outcome(job),
        (HELD_BY_ADMIN, CHANGED, STARTED, ENDED),
    )
    free = [p for parts in named.values() for p in parts if _may_be_released(p[0], wish)]
    events, numbers = arrays.cut(world, free, now)
    events += [Released(now, number, wish.uid, wish.begin) for number in numbers]
    return events, told


def _may_be_held(part: Part, uid: int) -> bool:
    job = part[0]
    if not isinstance(job.phase, Pending) or job.held == ADMIN:
        return False
    return not job.held or _by(job, uid) == ADMIN


def _may_be_released(job: Job, wish: Release) -> bool:
    if not isinstance(job.phase, Pending) or _is_kept(job, may_any=wish.may_any):
        return False
    return bool(job.held or wish.begin)


def _is_kept(job: Job, *, may_any: bool) -> bool:
    return isinstance(job.phase, Pending) and job.held == ADMIN and not may_any


def _by(job: Job, uid: int) -> str:
    return USER if job.uid == uid else ADMIN
