"""Which jobs are switched out so that one that outranks them can start.

Only jobs of preemptible classes leave, and only for a job of a class with a higher priority. Those
leave whose going loses the least work. Nobody leaves before its class's minimum run time, so that
two jobs never throw each other out in turn.
"""

from __future__ import annotations

from collections.abc import Iterable

from mgpu.core.outlook import Ask, Outlook
from mgpu.core.placement import Need, Room, fits, need_of, would_fit
from mgpu.core.placement import choose as place
from mgpu.core.world import World
from mgpu.model.events import Preempted
from mgpu.model.job import Job, Running
from mgpu.model.time import Now


def choose(world: World, now: Now, job: Job, ask: Ask, seen: Outlook) -> list[Preempted]:
    """Who has to leave so that ``job`` can start; empty where that would not help."""
    losses = {one.id: _loss(one, now) for one in _candidates(world, now, job)}
    if not losses:
        return []
    rooms = {room.uuid: room.copy() for room in seen.open_to(ask)}
    leaving: dict[int, Job] = {}
    while (gpus := place(list(rooms.values()), ask.need)) is None:
        staying = {number: loss for number, loss in losses.items() if number not in leaving}
        cheapest = _next(ask, rooms.values(), staying)
        if cheapest is None:
            return []
        for number in cheapest:
            leaving[number] = world.jobs[number]
            _vacate(world.jobs[number], rooms)
    used = {room.uuid for room in gpus}
    needed = [one for one in leaving.values() if used.intersection(one.gpus)]
    needed = _with_host(world, ask.need, seen, needed, losses)
    return [Preempted(now, one.id, one.attempt, job.id) for one in needed]


def _may_leave(world: World, now: Now, victim: Job, rank: int) -> bool:
    """Whether a running job may be switched out now for one whose class has priority ``rank``."""
    at = _may_leave_from(world, victim, rank)
    return at is not None and at <= now.boot


def _may_leave_from(world: World, victim: Job, rank: int) -> float | None:
    """From when on (boot time) that holds; None: never in this run."""
    phase = victim.phase
    its = world.policy.class_of(victim.spec.qos)
    if not isinstance(phase, Running) or not victim.spec.requeue or not its.preemptible:
        return None
    return phase.started.boot + its.min_run if its.priority < rank else None


def next_change(world: World, now: Now, job: Job) -> float | None:
    """When (boot time) the next running job has had its minimum run time and may leave for ``job``.

    None where nobody comes to be one that may.
    """
    rank = world.policy.class_of(job.spec.qos).priority
    times = [_may_leave_from(world, one, rank) for one in world.placed.values()]
    return min((at for at in times if at is not None and at > now.boot), default=None)


def _candidates(world: World, now: Now, job: Job) -> list[Job]:
    rank = world.policy.class_of(job.spec.qos).priority
    if not any(c.preemptible and c.priority < rank for c in world.policy.classes.values()):
        return []
    return [one for one in world.placed.values() if _may_leave(world, now, one, rank)]


def _loss(job: Job, now: Now) -> float:
    """The GPU-seconds of this attempt."""
    phase = job.phase
    begun = phase.started.boot if isinstance(phase, Running) else now.boot
    return (now.boot - begun) * max(1, job.spec.gpus)


def _next(ask: Ask, rooms: Iterable[Room], losses: dict[int, float]) -> list[int] | None:
    """The cheapest set of jobs whose going makes one more GPU fit."""
    sets = [
        cleared
        for room in rooms
        if would_fit(room, ask.need)
        and not fits(room, ask.need)
        and (cleared := _to_clear(room, ask, losses))
    ]
    return min(sets, key=lambda jobs: (sum(losses[n] for n in jobs), jobs), default=None)


def _to_clear(room: Room, ask: Ask, losses: dict[int, float]) -> list[int]:
    trial = room.copy()
    cleared: list[int] = []
    for number in sorted((n for n in room.jobs if n in losses), key=lambda n: (losses[n], n)):
        trial.give(number)
        cleared.append(number)
        if fits(trial, ask.need):
            return cleared
    return []


def _with_host(
    world: World, need: Need, seen: Outlook, leaving: list[Job], losses: dict[int, float]
) -> list[Job]:
    """``leaving`` and those who have to go for the machine's CPUs and memory; nobody if in vain."""
    host = seen.host.copy()
    for one in leaving:
        host.give(need_of(one.spec))
    for number in sorted(losses, key=lambda n: (losses[n], n)):
        one = world.jobs[number]
        if one not in leaving and host.is_helped(need, need_of(one.spec)):
            host.give(need_of(one.spec))
            leaving.append(one)
    return leaving if host.fits(need) else []


def _vacate(job: Job, rooms: dict[str, Room]) -> None:
    for uuid in job.gpus:
        if uuid in rooms:
            rooms[uuid].give(job.id)
