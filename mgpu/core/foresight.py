"""When a job that cannot start now can: jobs end one after the other until it fits."""

from __future__ import annotations

import math
from typing import NamedTuple

from mgpu.core.order import band
from mgpu.core.outlook import Ask, Outlook, Reservation
from mgpu.core.placement import Host, Need, Room, choose, fits, need_of, would_fit
from mgpu.core.policy import Policy, effective_limit
from mgpu.core.world import World
from mgpu.model.job import Job, Running, Starting
from mgpu.model.time import Now


class Holding(NamedTuple):
    """A job that holds GPUs until ``end`` at the latest; sorted by when it gives them back.

    Of jobs whose end is not known the oldest counts as the first. Later ones thus never push
    the reserved job away from GPUs that it already waits for.
    """

    end: float
    begun: float
    job: int
    need: Need
    gpus: tuple[str, ...]


def waits_for_jobs(rooms: list[Room], need: Need) -> bool:
    """Whether ``need`` could be met once all jobs have ended, so that a reservation has a point."""
    return sum(would_fit(room, need) for room in rooms) >= need.gpus


def holdings(world: World, now: Now, waiting: Job) -> list[Holding]:
    """The jobs that hold GPUs, or CPUs and memory of the machine, as one that waits sees them.

    What they were granted beyond their limits is taken back for it, unless they outrank it.
    """
    placed, rank = world.placed.values(), band(world, waiting)
    held = [job for job in placed if job.gpus or job.spec.cpus or job.spec.host_mem]
    return [holding(job, world.policy, now, extended=band(world, job) > rank) for job in held]


def holding(job: Job, policy: Policy, now: Now, *, extended: bool = True) -> Holding:
    """What one job holds, and until when at the latest; ``extended``: with its extension."""
    phase = job.phase
    limit = effective_limit(job.spec, policy)
    begun = now.boot
    end = now.boot  # one that is being stopped, or is past its limit, can end at any moment
    if isinstance(phase, Starting | Running):
        begun = (phase.decided if isinstance(phase, Starting) else phase.started).boot
        limit += job.extension if limit and extended else 0
        end = max(now.boot, begun + limit) if limit else math.inf
    return Holding(end, begun, job.id, need_of(job.spec), job.gpus)


def reserve(job: Job, ask: Ask, seen: Outlook, held: list[Holding]) -> Reservation | None:
    """Let jobs and claims end one after the other until ``job`` fits, and put it there.

    None where it never does: claims of others keep it off until an administrator changes them.
    """
    later = {room.uuid: room.copy() for room in seen.rooms}
    if any(room.cleaning for room in seen.rooms):
        held = [Holding(seen.boot, 0.0, 0, ask.need, ()), *held]
    for room in later.values():
        room.cleaning = False
    host = seen.host.copy()
    ends = {claim.end for on_gpu in seen.claims.values() for claim in on_gpu}
    for step in sorted([*held, *(Holding(end, 0.0, 0, ask.need, ()) for end in ends)]):
        for uuid in step.gpus:
            if uuid in later:
                later[uuid].give(step.job)
        if step.job:
            host.give(step.need)
        gpus = _fit(later, host, ask, seen, step.end)
        if gpus is not None:
            for room in gpus:
                room.take(job.id, ask.need)
            host.take(ask.need)
            indices = tuple(room.index for room in gpus)
            return Reservation(job, indices, step.end, step.job, later, host)
    return None


def _fit(
    later: dict[str, Room], host: Host, ask: Ask, seen: Outlook, at: float
) -> list[Room] | None:
    """The GPUs of a job that starts at the boot time ``at``."""
    rooms = [room for room in later.values() if fits(room, ask.need)]
    if len(rooms) < ask.need.gpus or not host.fits(ask.need):
        return None
    return choose(seen.open_to(ask, rooms, at), ask.need)
