"""What the orders of administrators mean: the events that follow, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

from mgpu.core.machine import counted
from mgpu.core.orders import Judged, Kept, RemoveQuota, Reserve, SetQuota, Unreserve
from mgpu.core.projects import check_claim
from mgpu.core.reservations import Chosen, assign
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import Erased, Event, Recorded
from mgpu.model.records import Quota, Reservation, Spending
from mgpu.model.time import Now
from mgpu.model.units import format_duration, quoted

#: How far ahead reservations are held against each other, in seconds and in occurrences of one.
HORIZON: Final = 35 * 86400
MOST_OCCURRENCES: Final = 100
MOST_RESERVATIONS: Final = 200

_NUMBERS: Final = "reservation"


# -- reservations ---------------------------------------------------------------------------------


def reserve(world: World, order: Reserve, now: Now) -> Judged:
    """Make a reservation, unless the machine has too few GPUs for it beside the others."""
    _check_gpus(world, order)
    for project in order.projects:
        check_claim(world.policy, project, "projects")
    kept = world.records.all(Reservation)
    if len(kept) >= MOST_RESERVATIONS:
        raise MgpuError(
            "LimitReached",
            f"there are {len(kept)} reservations; no more are kept",
            hint="cancel some: mgpu_ctl reserve list",
        )
    number = world.records.number(_NUMBERS)
    made = _made(world, order, number.last, now)
    _check_length(world, made)
    _check_room(world, kept, made, now)
    events = [Recorded(now, order.uid, record) for record in (number, made)]
    return [*events], Kept(made.key)


def unreserve(world: World, order: Unreserve, now: Now) -> Judged:
    """Take a reservation back. What was switched out for it waits for its turn as before."""
    known = world.records.get(Reservation, order.id)
    if known is None or not (order.may_any or known.by == order.uid):
        hint = "mgpu_ctl reserve list shows what there is"
        raise MgpuError("Unknown", f"there is no reservation {order.id}", hint=hint)
    return [Erased(now, order.uid, Reservation.__name__, known.key)], Kept(known.key)


def occurrences(world: World, one: Reservation, until: float) -> Iterator[float]:
    """When it begins, from the present or next time on, up to the Unix time ``until``."""
    start = one.start
    for _ in range(MOST_OCCURRENCES):
        if start > until:
            return
        yield start
        if not one.cron or world.next_run is None:
            return
        start = world.next_run(one.cron, one.zone, start)


def _made(world: World, order: Reserve, number: int, now: Now) -> Reservation:
    start = now.wall if order.start is None else order.start
    if order.cron and world.next_run is not None:
        start = world.next_run(order.cron, order.zone, max(start, now.wall) - 1)
    elif start + order.duration <= now.wall:
        raise MgpuError(
            "BadRequest",
            f"it would have ended {format_duration(now.wall - start - order.duration)} ago",
            path="start",
            hint="give a start or an end that is to come",
        )
    return Reservation(
        id=number,
        name=order.name,
        by=order.uid,
        start=start,
        duration=order.duration,
        count=order.count,
        gpus=order.gpus,
        users=order.users,
        groups=order.groups,
        projects=order.projects,
        cron=order.cron,
        zone=order.zone,
        preempt=order.preempt,
    )


def _check_gpus(world: World, order: Reserve) -> None:
    if bool(order.count) == bool(order.gpus):
        hint = "give --count N, or --gpu-ids 0,1"
        raise MgpuError("BadRequest", "give either a count or GPUs", path="count", hint=hint)
    if order.count > len(world.gpus):
        raise MgpuError(
            "Refused",
            f"asks for {order.count} GPUs; this machine has {len(world.gpus)}",
            path="count",
            hint=f"ask for {len(world.gpus)} or fewer; mgpu_info shows them",
        )


def _check_length(world: World, made: Reservation) -> None:
    """Refuse one that would still last when it begins the next time."""
    steps = pairwise(occurrences(world, made, math.inf))
    shortest = min((after - start for start, after in steps), default=math.inf)
    if made.duration > shortest:
        what = f"it lasts {format_duration(made.duration)} and comes again"
        raise MgpuError(
            "Refused",
            f"{what} after {format_duration(shortest)}",
            path="duration",
            hint="give a shorter duration, or a cron expression that is due less often",
        )


def _check_room(world: World, kept: list[Reservation], made: Reservation, now: Now) -> None:
    """Refuse what would leave this or another reservation short at some time ahead."""
    ahead = list(_unrolled(world, [*kept, made], now))
    chosen = assign([run for _, run in ahead], list(world.gpus))
    mine = [run for one, run in ahead if one is made]
    for run in mine:
        _check_named(world, run, [(one, that) for one, that in ahead if one is not made])
    for one, run in ahead:
        short = len(chosen[run.id]) < run.count
        if short and (one is made or any(_overlap(run, that) for that in mine)):
            raise _short(world, one, run, ahead, chosen, made)


def _unrolled(
    world: World, kept: Iterable[Reservation], now: Now
) -> Iterator[tuple[Reservation, Reservation]]:
    """Each occurrence ahead, as a reservation with an id of its own, beside what it is one of."""
    number = 0
    for one in kept:
        for start in occurrences(world, one, now.wall + HORIZON):
            number += 1
            yield one, replace(one, id=number, start=start)


def _check_named(
    world: World, run: Reservation, others: list[tuple[Reservation, Reservation]]
) -> None:
    for other, that in others:
        shared = set(run.gpus).intersection(that.gpus)
        if shared and _overlap(run, that):
            names = ", ".join(f"gpu{world.gpus[u].index}" for u in run.gpus if u in shared)
            raise MgpuError(
                "Refused",
                f"{names} {'is' if len(shared) == 1 else 'are'} reserved at that time: "
                f"reservation {other.id}",
                path="gpus",
                hint="take other GPUs or another time; see mgpu_ctl reserve list --timeline",
            )


def _short(
    world: World,
    one: Reservation,
    run: Reservation,
    ahead: list[tuple[Reservation, Reservation]],
    chosen: Chosen,
    made: Reservation,
) -> MgpuError:
    beside = {o.id for o, r in ahead if o is not one and _overlap(run, r)} - {made.id}
    others = [f"reservation {', '.join(map(str, sorted(beside)))}"] if beside else []
    have = f"{len(chosen[run.id])} of {len(world.gpus)} GPUs"
    later = format_duration(run.start - one.start)
    when = f", {later} after its first start" if run.start > one.start else ""
    others += [] if one is made else ["this one"]
    name = "" if one is made else f"reservation {one.id} "
    text = f"{name}needs {counted(one.count)}; {have} are left{when}, beside {' and '.join(others)}"
    hint = "take fewer GPUs or another time; see mgpu_ctl reserve list --timeline"
    return MgpuError("Refused", text, path="count" if one is made else "", hint=hint)


def _overlap(one: Reservation, other: Reservation) -> bool:
    return one.start < other.end and other.start < one.end


# -- quotas ---------------------------------------------------------------------------------------


def set_quota(world: World, order: SetQuota, now: Now) -> Judged:
    """Change bounds; those that are not named stay as they are.

    A quota without any bound exempts from the default: that must be said, as None for a bound.
    """
    if not order.bounds:
        raise MgpuError("BadRequest", "names no bound", hint="give one; none lifts it")
    known = world.records.get(Quota, order.subject)
    quota = replace(known or Quota(order.subject), **order.bounds)  # type: ignore[arg-type]
    if "period" in order.bounds and quota.gpu_hours is None:
        hint = "give --gpu-hours too"
        raise MgpuError("BadRequest", "a period is one of GPU-hours", path="period", hint=hint)
    same = known is not None and known.gpu_hours is not None and known.period == quota.period
    if not same:  # the first period of GPU-hours begins with its bound
        quota = replace(quota, since=now.wall)
    return [Recorded(now, order.uid, quota)], Kept(quota.key)


def remove_quota(world: World, order: RemoveQuota, now: Now) -> Judged:
    """Take a quota back, and what was counted for it."""
    if world.records.get(Quota, order.subject) is None:
        hint = "mgpu_ctl quota list shows what there is"
        name = quoted(order.subject)
        raise MgpuError("Unknown", f"there is no quota of {name}", hint=hint)
    events: list[Event] = [Erased(now, order.uid, Quota.__name__, order.subject)]
    if world.records.get(Spending, order.subject) is not None:
        events.append(Erased(now, order.uid, Spending.__name__, order.subject))
    return events, Kept(order.subject)
