"""What becomes of jobs that depend on others: they may start, wait on, or can never start.

Of a dependency only what is still open is kept. A condition that has come true is left out; one
that never will says how its job ended, so that nothing needs to be remembered of ended jobs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Final, NamedTuple

from mgpu.core import bounds, following
from mgpu.core.dependents import End, Ends, Parent, ends_of, origin
from mgpu.core.world import World
from mgpu.model.dependency import (
    AFTER,
    AFTERANY,
    AFTERCORR,
    AFTERNOTOK,
    AFTEROK,
    SINGLETON,
    WHOLE,
    Condition,
    Dependency,
)
from mgpu.model.errors import MgpuError
from mgpu.model.events import DependencyChanged, Event, Refused, Split
from mgpu.model.job import Job, Pending
from mgpu.model.records import Array
from mgpu.model.states import COMPLETED, FAILED, PENDING, RUNNING, Reason
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now

#: Kinds that only the end of what they are about decides.
_BY_END: Final = frozenset({AFTERANY, AFTEROK, AFTERNOTOK})
#: How a task "ended" that its array does not have.
NO_TASK: Final = "no such task"
#: Conditions that a text tells one by one.
_MOST_NAMED: Final = 3


class Facts(NamedTuple):
    """What conditions are judged by: how jobs ended, ``over`` are their ids, and the time."""

    ends: Ends
    over: Set[int]
    now: Now


def facts_of(ends: Ends, now: Now) -> Facts:
    """The facts of these ends."""
    return Facts(ends, {number for number, _ in ends}, now)


def settle(world: World, now: Now) -> list[Event]:
    """What follows for those that depend on what has happened."""
    index = world.dependents
    events: list[Event] = []
    child = world.next_id
    facts, cut = facts_of(index.ended, now), Counter[int]()
    for uid in [uid for uid in index.put_off if not bounds.are_full(world, uid, 0)]:
        index.readmit(uid)
    for job in index.due(now):
        found = judge(world, job, facts, child, cut)
        child += sum(isinstance(event, Split) for event in found)
        events += found
        if not found:
            index.judged(job)
    if not events:
        index.settled()
    return events


def next_change(world: World) -> float | None:
    """The boot time at which a delay after a start may be over."""
    return world.dependents.next_change()


def judge(world: World, job: Job, facts: Facts, child: int, cut: Counter[int]) -> list[Event]:
    """What follows for one waiting job; a part of it gets the id ``child``.

    ``cut`` counts by user the parts that are not evolved yet.
    """
    needs, now = job.needs, facts.now
    if needs is None or not isinstance(job.phase, Pending):
        return []
    left = _left(world, job, needs, facts)
    if left is not None and left.hopeless and job.spec.kill_on_invalid_dep:
        return [Refused(now, job.id, Reason.NEVER_SATISFIED, _lost(left))]
    if left != needs:
        return [DependencyChanged(now, job.id, left)]
    return following.follow(world, job, now, child, cut)


def known_ends(world: World, needs: Dependency, known: Ends) -> Ends:
    """The ends that were looked up, and those since the world was settled.

    Raises MgpuError where a condition of ``needs`` is about a job that there is not.
    """
    ends = {**ends_of(world.over), **known}
    for condition in needs.conditions:
        _check_exists(world, condition, ends)
    return ends


def take_on(
    world: World, job: Job, ends: Ends, now: Now, child: int
) -> tuple[Dependency | None, list[Event]]:
    """What is left of the new dependency of ``job``, and what follows for parts of it.

    ``ends`` are :func:`known_ends`. The first part gets the id ``child``.
    """
    needs = job.needs
    if needs is None:
        return None, []
    missing = _missing(world, job, needs, ends, now)
    facts = facts_of({**ends, **missing} if missing else ends, now)
    left = _left(world, job, needs, facts)
    events = _parts(world, job, left, facts, child) if left is not None else []
    bounds.check_apart(world, job.uid, sum(isinstance(event, Split) for event in events))
    return left, events


def _check_exists(world: World, condition: Condition, ends: Ends) -> None:
    if condition.kind != SINGLETON and not _exists(world, condition, ends):
        raise MgpuError(
            "UnknownJob",
            f"{condition}: there is no job {condition.parent}",
            path="spec.dependency",
            hint="mgpu_queue --all lists the jobs that there are",
        )


def describe(world: World, job: Job) -> tuple[str, str]:
    """The reason and its detail for a job that waits for others."""
    needs = job.needs
    if needs is None:
        return "", ""
    if needs.hopeless:
        return Reason.NEVER_SATISFIED, _lost(needs)
    left = [one for one in needs.conditions if not one.never]
    if late := following.describe(world, job):
        return Reason.DEPENDENCY, late
    waits = [_waits_for(world, job, one) for one in left[:_MOST_NAMED]]
    return Reason.DEPENDENCY, f"waits for {_joined(waits, len(left), any_of=needs.any_of)}"


# -- one condition ------------------------------------------------------------------------------


def _left(world: World, job: Job, needs: Dependency, facts: Facts) -> Dependency | None:
    """What is left of a dependency; None: it has come true.

    Only the conditions that the facts concern are looked at: there can be many others.
    """
    left = [
        one if one.kind in _BY_END and one.job not in facts.over else _open(world, job, one, facts)
        for one in needs.conditions
    ]
    rest = tuple(condition for condition in left if condition is not None)
    if not rest or (needs.any_of and len(rest) < len(left)):
        return None
    return replace(needs, conditions=rest)


def _open(world: World, job: Job, condition: Condition, facts: Facts) -> Condition | None:
    """What is left of one condition."""
    ends, now = facts.ends, facts.now
    if condition.never:
        return condition
    if condition.kind == SINGLETON:
        first = world.dependents.first((job.uid, job.spec.name)) == origin(job)
        return None if first else condition
    task = condition.task
    if condition.kind == AFTERCORR and job.tasks and following.is_array(world, condition.job, ends):
        if len(job.tasks) > 1:
            return condition  # its tasks go on one by one
        task = job.tasks.first
    end = _end(world, condition.job, task, ends, now)
    if end is None and condition.kind == AFTERCORR:
        end = _ended_before(world, condition.job, task, now)
    if condition.kind == AFTER:
        return _open_after(world, condition, end, now)
    if end is None:
        return condition
    well = end.state == COMPLETED
    true = condition.kind == AFTERANY or well != (condition.kind == AFTERNOTOK)
    return None if true else replace(condition, never=end.state)


def _open_after(world: World, condition: Condition, end: End | None, now: Now) -> Condition | None:
    began = end.began if end is not None else _began(world, condition.job, condition.task)
    ripe = condition.ripe or (began + condition.delay if began is not None else math.inf)
    if ripe <= now.wall or (began is not None and not condition.delay):
        return None
    return condition if ripe == math.inf else replace(condition, ripe=ripe)


def _end(world: World, number: int, task: int, ends: Ends, now: Now) -> End | None:
    """How a parent ended; None while it is active."""
    known = ends.get((number, task))
    if known is not None or task != WHOLE:
        return known
    array = world.records.get(Array, number)
    if array is None or world.arrays.has(number):
        return None
    return End(FAILED if array.failed else COMPLETED, now.wall)


def _ended_before(world: World, number: int, task: int, now: Now) -> End | None:
    """How a task ended when this one was not alone in its record yet."""
    progress = world.dependents.progress.get(number)
    state = progress.state_of(task) if progress is not None else ""
    return End(state, now.wall) if state else None


def _began(world: World, number: int, task: int) -> float | None:
    """When an active parent has begun; an array has when none of its tasks waits any more."""
    if task != WHOLE:
        part = world.arrays.find(number, task)
        return None if part is None else _began_at(part)
    last = None
    parts = world.arrays.each(number)
    for part in parts if world.arrays.has(number) else filter(None, [world.jobs.get(number)]):
        began = _began_at(part)
        if began is None:
            return None
        last = began if last is None else max(last, began)
    return last


def _began_at(job: Job) -> float | None:
    if job.begun is not None:
        return job.begun.wall
    return job.phase.since if isinstance(job.phase, Pending) and job.restarts else None


# -- parts of arrays ----------------------------------------------------------------------------


def _parts(world: World, job: Job, needs: Dependency, facts: Facts, child: int) -> list[Event]:
    """The tasks whose counterparts have ended go on in records of their own."""
    tasks, ends = job.tasks, facts.ends
    if tasks is None or len(tasks) == 1:
        return []
    parents = _counterparts(world, needs, ends)
    if len(tasks) < len(ends):
        decided = {task for task in tasks for parent in parents if (parent, task) in ends}
    else:
        decided = {task for parent, task in ends if parent in parents and task in tasks}
    alike: dict[Dependency | None, set[int]] = {}
    for task in sorted(decided):
        left = _left(world, replace(job, tasks=Tasks.only(task)), needs, facts)
        alike.setdefault(left, set()).add(task)
    groups = [(left, Tasks.of(some)) for left, some in alike.items()]
    return following.apart(job, groups, facts.now, child)


def _counterparts(world: World, needs: Dependency, ends: Ends) -> set[int]:
    """The arrays whose tasks are waited for one by one."""
    return {
        one.job
        for one in needs.conditions
        if one.kind == AFTERCORR and not one.never and following.is_array(world, one.job, ends)
    }


def _missing(world: World, job: Job, needs: Dependency, ends: Ends, now: Now) -> dict[Parent, End]:
    """The tasks of ``job`` for which the arrays that it follows have none."""
    found: dict[Parent, End] = {}
    for parent in _counterparts(world, needs, ends):
        tasks = job.tasks or Tasks(())
        for part in world.arrays.each(parent):
            if part.tasks is not None and len(part.tasks) > 1:
                tasks = tasks.without(part.tasks)
        unknown = [task for task in tasks if (parent, task) not in ends]
        missing = [task for task in unknown if world.arrays.find(parent, task) is None]
        found |= {(parent, task): End(NO_TASK, now.wall) for task in missing}
    return found


# -- what there is ------------------------------------------------------------------------------


def _exists(world: World, condition: Condition, known: Ends) -> bool:
    number, task = condition.job, condition.task
    if (number, task) in known:
        return True
    if task != WHOLE:
        return world.arrays.find(number, task) is not None
    if world.arrays.has(number) or world.records.get(Array, number) is not None:
        return True
    job = world.jobs.get(number)
    return job is not None and origin(job) == number


# -- in words -----------------------------------------------------------------------------------

_ENDS: Final[Mapping[str, str]] = {
    AFTERANY: "to end",
    AFTERNOTOK: "to fail",
}


def _waits_for(world: World, job: Job, condition: Condition) -> str:
    if condition.kind == SINGLETON:
        older = list(world.dependents.older((job.uid, job.spec.name), origin(job)))
        more = f" and {len(older) - 1} more" if len(older) > 1 else ""
        return f"job {older[0]}{more} of the same name to end" if older else "nothing any more"
    whom = f"job {condition.parent} ({_state(world, condition)})"
    if condition.kind == AFTERCORR and job.tasks is not None:
        return f"the same task of {whom} to end well"
    if condition.kind == AFTER:
        minutes = condition.delay // 60
        return f"{minutes} min to pass from the start of {whom}" if minutes else f"{whom} to start"
    return f"{whom} {_ENDS.get(condition.kind, 'to end well')}"


def _state(world: World, condition: Condition) -> str:
    """The state of a parent: of a task, or of an array as a whole."""
    states = _states(world, condition.job, condition.task)
    if RUNNING in states or not states:
        return "running" if states else "over"
    return "waiting" if PENDING in states else "ending"


def _states(world: World, number: int, task: int) -> set[str]:
    """The states of a parent; those of an array without a look at all that wait of it."""
    if task == WHOLE and world.arrays.has(number):
        placed = world.arrays.placed(number)
        waits = {PENDING} if world.arrays.count(number) > len(placed) else set()
        return waits.union(world.jobs[one].state for one in placed)
    part = world.jobs.get(number) if task == WHOLE else world.arrays.find(number, task)
    return {part.state} if part is not None else set()


def _lost(needs: Dependency) -> str:
    """Why a dependency can never come true."""
    lost = [one for one in needs.conditions if one.never]
    return _joined(list(map(_lost_one, lost[:_MOST_NAMED])), len(lost))


def _joined(texts: list[str], count: int, *, any_of: bool = False) -> str:
    """The first of ``count`` texts, and how many more there are."""
    more = [f"{count - len(texts)} more"] if count > len(texts) else []
    return (" or " if any_of else " and ").join([*texts, *more])


def _lost_one(condition: Condition) -> str:
    if condition.never == NO_TASK:
        return f"array {condition.job} has {NO_TASK} ({condition})"
    return f"job {condition.parent} ended {condition.never} ({condition})"
