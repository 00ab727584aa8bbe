"""Who may use which GPU when: reservations as a pass, a forecast and a reason see them.

A reservation claims GPUs for a while: the ones it names, or ``count`` that are chosen here. A job
of somebody whom it is not for may run there only if it is over by then, or if the reservation
switches it out when it begins. Inside, only those whom it is for start; GPUs on which their jobs
run already count towards it. When it is over, what runs goes on.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from mgpu.core.claims import NO_CLAIMS, NO_RIGHTS, Claim, Claims, Rights
from mgpu.core.foresight import holding
from mgpu.core.policy import Policy
from mgpu.core.world import World
from mgpu.model.events import Erased, Event, Preempted, Recorded
from mgpu.model.job import Job, Running, Starting
from mgpu.model.records import Reservation
from mgpu.model.time import LOOK_AT_WALL, Now

Chosen = dict[int, tuple[str, ...]]

#: Seconds by which the wall clock may differ from what was derived before it is derived anew.
_DRIFT = 0.01


class Derived(NamedTuple):
    """What follows from the reservations of a world until ``until`` (boot time).

    ``chosen`` are the UUIDs that each reservation has. The rest says of which world it is true.
    """

    claims: Claims
    chosen: Chosen
    until: float
    generation: int
    offset: float


def claims(world: World, now: Now) -> Claims:
    """The claims on each GPU (by UUID), in the order of their starts; the same object until
    something changes. A GPU that nobody has reserved is not in it."""
    return derive(world, now).claims


def entitled(world: World, user: str, groups: Sequence[str], project: str) -> Rights:
    """The ids of the reservations that are for these jobs."""
    found = [
        kept.id
        for kept in world.records.all(Reservation)
        if user in kept.users
        or (project and project in kept.projects)
        or not set(groups).isdisjoint(kept.groups)
    ]
    return frozenset(found) if found else NO_RIGHTS


def rights_of(world: World, job: Job) -> Rights:
    """As :func:`entitled`, for one job; remembered until something changes."""
    known: Any = world.derived.get("rights")
    if known is None or known[0] != world.generation:
        known = world.derived["rights"] = (world.generation, {})
    key = (job.uid, job.spec.project)
    found: Rights | None = known[1].get(key)
    if found is None:
        groups = world.groups_of(job.uid)
        found = known[1][key] = entitled(world, job.user, groups, job.spec.project)
    return found


def settle(world: World, now: Now) -> list[Event]:
    """What follows from a reservation that is over, or that has begun and switches jobs out."""
    world.derived["edge"] = derive(world, now).until
    ended = [r for r in world.records.all(Reservation) if r.end <= now.wall]
    return [_go_on(world, one, now) for one in ended] or _switch_out(world, now)


def _go_on(world: World, one: Reservation, now: Now) -> Event:
    if not one.cron or world.next_run is None:
        return Erased(now, 0, Reservation.__name__, one.key)
    # The first one that is not over yet: it may have begun while nobody looked.
    start = world.next_run(one.cron, one.zone, now.wall - one.duration)
    return Recorded(now, 0, replace(one, start=start))


def _switch_out(world: World, now: Now) -> list[Event]:
    leaving: dict[int, Event] = {}
    for uuid, on_gpu in claims(world, now).items():
        for claim in on_gpu:
            if claim.preempt and claim.start <= now.boot < claim.end:
                for job in world.ledger.on(uuid):
                    if _must_leave(world, job, claim):
                        gone = Preempted(now, job.id, job.attempt, -claim.reservation)
                        leaving.setdefault(job.id, gone)
    return list(leaving.values())


def _must_leave(world: World, job: Job, claim: Claim) -> bool:
    if not isinstance(job.phase, Running) or not job.spec.requeue:
        return False
    return claim.reservation not in rights_of(world, job)


def next_change(world: World) -> float | None:
    """The boot time at which a reservation may begin or end, as of the last :func:`settle`."""
    until: float = world.derived.get("edge", math.inf)
    return until if until < math.inf else None


def derive(world: World, now: Now) -> Derived:
    """The claims and what they were made from; made anew only when something has changed."""
    known: Any = world.derived.get("reservations")
    if known is None or not _holds(known, world, now):
        known = world.derived["reservations"] = _derive(world, now)
    return known  # type: ignore[no-any-return]


def _holds(known: Derived, world: World, now: Now) -> bool:
    same = known.generation == world.generation and now.boot < known.until
    return same and abs(known.offset - (now.boot - now.wall)) < _DRIFT


def _derive(world: World, now: Now) -> Derived:
    offset = now.boot - now.wall
    kept = [r for r in world.records.all(Reservation) if r.end > now.wall]
    if not kept:
        return Derived(NO_CLAIMS, {}, math.inf, world.generation, offset)
    chosen = choose(world, kept, now)
    made: dict[str, list[Claim]] = {}
    for one in kept:
        claim = Claim(one.start + offset, one.end + offset, one.id, one.preempt)
        for uuid in chosen[one.id]:
            made.setdefault(uuid, []).append(claim)
    edges = [edge + offset for one in kept for edge in (one.start, one.end)]
    until = min(edge for edge in (*edges, now.boot + LOOK_AT_WALL) if edge > now.boot)
    result = {uuid: tuple(sorted(row)) for uuid, row in made.items()}
    return Derived(result, chosen, until, world.generation, offset)


# -- which GPUs a count means ----------------------------------------------------------------------

#: How badly a GPU suits a reservation: the smaller, the better.
Cost = Callable[[Reservation, str], tuple[float, ...]]


def choose(world: World, kept: Sequence[Reservation], now: Now) -> Chosen:
    """The GPUs of each reservation: where it disturbs least, then by index.

    What is chosen depends on the world of now alone. As nothing that would disturb it is started
    on what it has, a choice without conflict stays one.
    """
    gpus = [gpu.uuid for gpu in world.gpus.values() if gpu.available]
    chosen = assign(kept, gpus, _Conflicts(world, now))
    if missing(kept, chosen):  # the choice of one may be in another's way
        plain = assign(kept, gpus)
        if missing(kept, plain) < missing(kept, chosen):
            return plain
    return chosen


def assign(
    kept: Sequence[Reservation], gpus: Sequence[str], cost: Cost = lambda _r, _uuid: ()
) -> Chosen:
    """Give each reservation its GPUs: named ones first, then counts in the order of their starts.

    No GPU goes to two at a time; one that finds too few gets what there is.
    """
    taken: dict[str, list[tuple[float, float]]] = {uuid: [] for uuid in gpus}
    chosen: Chosen = {}
    for one in sorted(kept, key=lambda one: (bool(one.count), one.start, one.id)):
        if one.count:
            free = [uuid for uuid in gpus if not _meets(one, taken[uuid])]
            free.sort(key=partial(cost, one))
            chosen[one.id] = tuple(free[: one.count])
        else:
            chosen[one.id] = one.gpus
        for uuid in chosen[one.id]:
            insort(taken.setdefault(uuid, []), (one.start, one.end))
    return chosen


def missing(kept: Iterable[Reservation], chosen: Chosen) -> int:
    """How many GPUs the reservations lack in all."""
    return sum(max(0, one.count - len(chosen[one.id])) for one in kept)


def _meets(one: Reservation, spans: list[tuple[float, float]]) -> bool:
    """Whether it overlaps one of the spans, which are in order and do not overlap each other."""
    before = bisect_left(spans, (one.end, one.end))
    return before > 0 and spans[before - 1][1] > one.start


class _Conflicts:
    """The cost of a GPU: jobs in the way, worst those that stay longest."""

    def __init__(self, world: World, now: Now) -> None:
        self._world = world
        self._now = now

    def __call__(self, one: Reservation, uuid: str) -> tuple[float, ...]:
        start = max(self._now.boot, one.start + self._now.boot - self._now.wall)
        staying = [job for job in self._world.ledger.on(uuid) if self._stays(job, start)]
        guests = [job for job in staying if one.id not in rights_of(self._world, job)]
        rest = [job for job in guests if not (one.preempt and job.spec.requeue)]
        until = max((latest_end(j, self._world.policy, self._now) for j in rest), default=0.0)
        return (bool(guests) + bool(rest), until, not staying)

    def _stays(self, job: Job, start: float) -> bool:
        """Whether a job may be there at ``start``; one past its limit is, until it has gone."""
        if start <= self._now.boot and isinstance(job.phase, Starting | Running):
            return True
        return latest_end(job, self._world.policy, self._now) > start


def latest_end(job: Job, policy: Policy, now: Now) -> float:
    """The boot time at which a job that holds GPUs gives them back at the latest."""
    return holding(job, policy, now).end
