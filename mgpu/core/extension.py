"""Time slices: a job at the machine's limit goes on while nobody who waits could use its GPUs.

An extension is granted shortly before the limit, and taken back as soon as somebody comes who could
start on what the job has.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from mgpu.core.order import band
from mgpu.core.outlook import Ask, Outlook
from mgpu.core.placement import need_of
from mgpu.core.policy import Policy, effective_limit
from mgpu.core.schedule import ask_of, bar_of_owner, find_gpus
from mgpu.core.tally import Tally
from mgpu.core.world import World
from mgpu.model.events import Extended
from mgpu.model.job import Job, Running
from mgpu.model.time import Now

#: It is decided so long (seconds) before the limit, and granted for so long at a time.
LEAD: Final = 30
SLICE: Final = 300


def extensions(world: World, seen: Outlook, now: Now) -> list[Extended]:
    """The extensions that are due after a pass that left ``seen``."""
    if world.policy.on_time_limit != "extend-when-idle":
        return []
    world.derived["extensions"] = now.boot
    found = (_judge(world, seen, job, now) for job in world.placed.values())
    events = [event for event in found if event is not None]
    if events:  # who waits for their GPUs, waits longer or shorter: another may pass now
        seen.again = now.boot
    return events


def _judge(world: World, seen: Outlook, job: Job, now: Now) -> Extended | None:
    """What becomes of one job's extension: longer, taken back for somebody, or as it is."""
    due = _due(job, world.policy)
    late = due is not None and due <= now.boot
    if job.id in seen.started or not (late or job.extension):
        return None
    length = _length(job, world.policy) if late else 0
    if not _is_wanted(world, seen, job, length, now):
        return _extended(job, job.extension + length, now)
    return _extended(job, min(job.extension, _used(world, job, now)), now)


def _extended(job: Job, extension: int, now: Now) -> Extended | None:
    if extension == job.extension or not isinstance(job.phase, Running):
        return None
    return Extended(now, job.id, job.attempt, extension)


def _used(world: World, job: Job, now: Now) -> int:
    """How far a job is beyond its limit, and as long as it wants to be warned."""
    begun = job.phase.started.boot if isinstance(job.phase, Running) else now.boot
    warning = job.spec.signal[1] if job.spec.signal else 0
    past = now.boot - begun - effective_limit(job.spec, world.policy)
    return max(0, math.ceil(past) + warning) if past > -warning else 0


def next_change(world: World) -> float | None:
    """The boot time at which the next extension is to be decided.

    Those that were due at the last :func:`extensions` are decided; what changes that is an event.
    """
    if world.policy.on_time_limit != "extend-when-idle":
        return None
    decided = world.derived.get("extensions", -math.inf)
    times = [_due(job, world.policy) for job in world.placed.values()]
    return min((at for at in times if at is not None and at > decided), default=None)


def _due(job: Job, policy: Policy) -> float | None:
    """When it is decided whether a job goes on; None for one that may not, or cannot."""
    phase = job.phase
    if not isinstance(phase, Running) or not _length(job, policy):
        return None
    limit = effective_limit(job.spec, policy) + job.extension
    return phase.started.boot + max(0, limit - LEAD)


def _length(job: Job, policy: Policy) -> int:
    """For how long a job may go on beyond the machine's limit; its own limit stays."""
    if not policy.max_job_time:
        return 0
    own = job.spec.time_limit
    if own is None:
        return SLICE
    return max(0, min(SLICE, own - policy.max_job_time - job.extension))


def _is_wanted(world: World, seen: Outlook, job: Job, length: int, now: Now) -> bool:
    """Whether somebody waits who would start on what the job has, or a reservation begins."""
    ask = ask_of(world, job, need_of(job.spec), now)._replace(end=now.boot + LEAD + length)
    own = [room for room in seen.rooms if room.uuid in job.gpus]
    if len(seen.open_to(ask, own)) < len(own):
        return True
    unfit: set[tuple[int, frozenset[int]]] = set()
    freed = _without(seen, job)
    for line in world.queue.lines.values():
        head = line.jobs[0]
        wish: Ask = ask_of(world, head, line.need, now)
        kind = (line.kind, wish.rights)
        has_place = line.need.gpus or not seen.host.fits(line.need)
        if not has_place or kind in unfit or band(world, head) < band(world, job):
            continue
        if find_gpus(_for(head, freed), wish, world.policy) is None:
            unfit.add(kind)
        elif bar_of_owner(world, now, head, Tally(), world.placed_of.get(head.uid, 0)) is None:
            return True
    return False


def _without(seen: Outlook, job: Job) -> Outlook:
    """What is there once the job has gone."""
    rooms, host = [room.copy() for room in seen.rooms], seen.host.copy()
    host.give(need_of(job.spec))
    for room in rooms:
        if job.id in room.jobs:
            room.give(job.id)
    return replace(seen, rooms=rooms, host=host)


def _for(job: Job, seen: Outlook) -> Outlook:
    """What is free for a job: what is reserved for it does not keep it off."""
    held = seen.reservation
    return replace(seen, reservation=None) if held is not None and held.job is job else seen
