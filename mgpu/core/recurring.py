"""Recurring jobs: each run is an ordinary job, submitted when its time has come.

A run whose moment passed more than ``LATE`` seconds ago was missed: the service stood still. It is
left out, or made up for once, as its owner said; either way the list of recurring jobs tells.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mgpu.core import wishes
from mgpu.core.holding import HELD_BY_ADMIN
from mgpu.core.requests import ChangeRepeat, Repeat, Submit
from mgpu.core.wishes import CHANGED, UNKNOWN, Outcomes
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import Erased, Event, Recorded, Submitted
from mgpu.model.records import Recurring
from mgpu.model.time import LOOK_AT_WALL, Now

#: Seconds after which a run counts as missed.
LATE: Final = 120.0
#: Recurring jobs that one user may have.
MOST: Final = 100
_NUMBERS: Final = "recurring"
_KEY: Final = "recurring"


def repeat(world: World, wish: Repeat, now: Now) -> tuple[list[Event], Outcomes]:
    """Take a recurring job in; it is checked as a submission of now would be."""
    submit = wish.submit
    _check(world, submit)
    wishes.submit(world, submit, now)
    counter = world.records.number(_NUMBERS)
    number = counter.last
    made = Recurring(
        number,
        submit.uid,
        submit.user,
        replace(submit.spec, spec_id=-number),
        submit.priority,
        wish.cron,
        wish.zone,
        _next(world, wish.cron, wish.zone, now.wall),
        overlap=wish.overlap,
        missed=wish.missed,
    )
    events: list[Event] = [Recorded(now, submit.uid, one) for one in (counter, made)]
    return events, Outcomes(((number, CHANGED),))


def _check(world: World, submit: Submit) -> None:
    """Refuse what cannot be repeated, and more than one user may have."""
    if submit.tasks is not None or submit.needs is not None or submit.count != 1:
        raise MgpuError(
            "BadRequest", "a recurring job has no array and no dependency", path="spec.cron"
        )
    if submit.held or submit.begin or submit.spec.deadline is not None:
        raise MgpuError(
            "BadRequest",
            "a recurring job has no hold, no begin and no deadline: its times are those of cron",
            path="spec.cron",
            hint="mgpu_job cron pause keeps its runs back",
        )
    mine = [one for one in world.records.all(Recurring) if one.uid == submit.uid]
    if len(mine) >= MOST:
        raise MgpuError(
            "LimitReached",
            f"{len(mine)} recurring jobs are yours; {MOST} are allowed",
            hint="remove some: mgpu_job cron list shows them",
        )


def change(world: World, wish: ChangeRepeat, now: Now) -> tuple[list[Event], Outcomes]:
    """Pause, resume or remove recurring jobs. Runs that are queued or running go on.

    What somebody else than its owner pauses is paused by an administrator.
    """
    events: list[Event] = []
    told = {}
    for number in dict.fromkeys(wish.numbers):
        one = world.records.get(Recurring, number)
        told[number] = _outcome(one, wish)
        if one is None or told[number] != CHANGED:
            continue
        if wish.how == "remove":
            events.append(Erased(now, wish.uid, Recurring.__name__, one.key))
        else:
            at = _next(world, one.cron, one.zone, now.wall)
            paused = wish.how == "pause"
            by_admin = paused and (one.by_admin or one.uid != wish.uid)
            after = replace(one, paused=paused, next=at, by_admin=by_admin)
            events.append(Recorded(now, wish.uid, after))
    return events, Outcomes(tuple(told.items()))


def _outcome(one: Recurring | None, wish: ChangeRepeat) -> str:
    if one is None or not (wish.may_any or one.uid == wish.uid):
        return UNKNOWN
    kept = wish.how == "resume" and one.by_admin and not wish.may_any
    return HELD_BY_ADMIN if kept else CHANGED


def settle(world: World, now: Now) -> list[Event]:
    """The next run that is due, if any. Without a calendar none is."""
    if world.next_run is None:
        return []
    waiting = [one for one in world.records.all(Recurring) if not one.paused]
    for one in waiting:
        if one.next <= now.wall:
            return _run(world, one, now)
    wait = min([*(one.next - now.wall for one in waiting), LOOK_AT_WALL]) if waiting else None
    world.derived[_KEY] = None if wait is None else now.boot + max(0.0, wait)
    return []


def next_change(world: World) -> float | None:
    """The boot time at which a run may be due, as of the last :func:`settle`."""
    known: float | None = world.derived.get(_KEY)
    return known


def _run(world: World, one: Recurring, now: Now) -> list[Event]:
    after = replace(one, next=_next(world, one.cron, one.zone, now.wall))
    why = _left_out(world, one, now)
    if why:
        return [Recorded(now, 0, replace(after, left_out=one.left_out + 1, note=why))]
    note = "made up for runs that fell into a stop" if now.wall - one.next > LATE else ""
    number = world.next_id
    job = Submitted(now, number, 1, one.uid, one.user, one.spec, one.priority)
    return [job, Recorded(now, 0, replace(after, active=number, note=note or one.note))]


def _left_out(world: World, one: Recurring, now: Now) -> str:
    """Why a run that is due does not take place; nothing where it does."""
    if now.wall - one.next > LATE and one.missed == "drop":
        return "missed: mgpu was stopped"
    if one.active in world.jobs and one.overlap == "skip":
        return f"skipped: job {one.active} was still active"
    bound = world.policy.max_pending_per_user
    if bound and world.pending_of.get(one.uid, 0) >= bound:
        return f"skipped: {bound} jobs of {one.user} were waiting"
    return ""


def _next(world: World, cron: str, zone: str, after: float) -> float:
    if world.next_run is None:
        raise MgpuError("Refused", "this scheduler knows no calendar", path="spec.cron")
    return world.next_run(cron, zone, after)
