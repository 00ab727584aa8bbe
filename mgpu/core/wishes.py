"""What users ask for: submit, cancel, change the priority or the bound of an array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mgpu.core import arrays, bounds, circles, deadline, dependency, people, projects, quotas
from mgpu.core.feasible import check_feasible
from mgpu.core.requests import (
    Cancel,
    JobWish,
    SetDependency,
    SetPriority,
    Submit,
    Update,
)
from mgpu.core.roster import Part
from mgpu.core.tally import Owner
from mgpu.core.world import World
from mgpu.model.dependency import Dependency
from mgpu.model.errors import MgpuError
from mgpu.model.events import (
    CancelRequested,
    DependencyChanged,
    Event,
    PriorityChanged,
    Recorded,
    Split,
    Submitted,
)
from mgpu.model.job import Ended, Job, Pending, Stopping
from mgpu.model.records import Array, Membership
from mgpu.model.target import Name
from mgpu.model.time import Now

#: What became of one job of a request. A job of somebody else is ``unknown``: ids tell nothing.
CANCELLED: Final = "cancelled"
CANCELLING: Final = "cancelling"
ENDED: Final = "ended"
UNKNOWN: Final = "unknown"
CHANGED: Final = "changed"
STARTED: Final = "started"  # too late for another priority


@dataclass(frozen=True, slots=True)
class Accepted:
    """``count`` jobs with consecutive ids from ``first``."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of each job asked for, in the order asked."""

    jobs: tuple[tuple[Name, str], ...]


Judged = tuple[list[Event], Accepted | Outcomes]


def submit(world: World, wish: Submit, now: Now) -> Judged:
    """Accept new jobs, unless they could never start or are too many."""
    if wish.count < 1:
        raise MgpuError("BadRequest", f"expected 1 or more, got {wish.count}", path="count")
    if wish.count > 1 and wish.tasks is not None:
        raise MgpuError("BadRequest", f"expected 1 for an array, got {wish.count}", path="count")
    groups = wish.groups or world.groups_of(wish.uid)
    people.check(world.policy, wish.user, groups)
    may_raise = wish.admin or people.may_raise(world.policy, wish.user, groups)
    _check_priority(world, wish.priority, may_raise=may_raise, path="spec.priority")
    check_class(world, wish.spec.qos, groups)
    projects.check(world.policy, wish.spec.project, wish.user, groups)
    check_feasible(world, wish.spec)
    deadline.check(world, wish.spec, wish.begin, now)
    bounds.check_jobs(world, wish.uid, wish.count)
    bounds.check_conditions(world, wish.uid, wish.count * _conditions(wish.needs))
    _check_quotas(world, wish)
    first = world.next_id
    who = (wish.uid, wish.user, wish.spec, wish.priority)
    needs, parts = _depending(world, wish, first, now)
    event = Submitted(now, first, wish.count, *who, wish.tasks, wish.held, wish.begin, needs)
    events = [*_joined(world, wish, now), event, *_bounded(wish, first, now), *parts]
    return events, Accepted(first, wish.count)


def cancel(world: World, wish: Cancel, now: Now) -> Judged:
    """End jobs: waiting ones at once, the others as soon as their processes are gone."""
    named = own_parts(world, wish)
    active = [part for parts in named.values() for part in parts if not _is_ending(part[0])]
    events, numbers = arrays.cut(world, active, now, end=True)
    events += [CancelRequested(now, number, wish.uid) for number in numbers]
    return events, outcomes(named, _cancel_outcome, (CANCELLING, CANCELLED, ENDED))


def set_priority(world: World, wish: SetPriority, now: Now) -> Judged:
    """Move waiting jobs in the queue."""
    named = own_parts(world, wish)
    user = next((job.user for parts in named.values() for job, _ in parts), "")
    groups = world.groups_of(wish.uid)
    may_raise = wish.may_any or people.may_raise(world.policy, user, groups)
    _check_priority(world, wish.priority, may_raise=may_raise, path="priority")
    moved = [part for parts in named.values() for part in parts if _must_move(part[0], wish)]
    events, numbers = arrays.cut(world, moved, now)
    events += [PriorityChanged(now, number, wish.uid, wish.priority) for number in numbers]
    return events, outcomes(named, change_outcome, (CHANGED, STARTED, ENDED))


def update(world: World, wish: Update, now: Now) -> Judged:
    """Change how many tasks of an array may run at once. What runs goes on."""
    job = next((job for job, _ in arrays.parts(world, wish.job)), None)
    if job is None or not (wish.may_any or job.uid == wish.uid):
        return [], Outcomes(((wish.job, UNKNOWN),))
    array = world.records.get(Array, wish.job)
    if array is None:
        hint = f"name the array, {job.array}" if job.array else "only arrays have such a bound"
        raise MgpuError("BadRequest", f"job {wish.job} is no array", path="job", hint=hint)
    changed = replace(array, max_concurrent=wish.max_concurrent)
    return [Recorded(now, wish.uid, changed)], Outcomes(((wish.job, CHANGED),))


def set_dependency(world: World, wish: SetDependency, now: Now) -> Judged:
    """Let waiting jobs depend on other jobs than before."""
    named = own_parts(world, wish)
    waiting = [p for parts in named.values() for p in parts if isinstance(p[0].phase, Pending)]
    events, numbers = arrays.cut(world, waiting, now)
    split = {event.child: event for event in events if isinstance(event, Split)}
    jobs = [replace(_part_of(world, n, split), needs=wish.needs) for n in numbers]
    _check_conditions(world, wish, jobs)
    circles.check(world, jobs)
    ends = dependency.known_ends(world, wish.needs, wish.known) if wish.needs is not None else {}
    child = world.next_id + len(split)
    for job in jobs:
        left, parts = dependency.take_on(world, job, ends, now, child)
        child += sum(isinstance(part, Split) for part in parts)
        events += [DependencyChanged(now, job.id, left), *parts]
    return events, outcomes(named, change_outcome, (CHANGED, STARTED, ENDED))


def _check_conditions(world: World, wish: SetDependency, jobs: list[Job]) -> None:
    each = _conditions(wish.needs)
    more = Counter[int]()
    for job in jobs:
        known = world.jobs.get(job.id)
        more[job.uid] += each - (_conditions(known.needs) if known is not None else 0)
    for uid, count in more.items():
        bounds.check_conditions(world, uid, count)


def _conditions(needs: Dependency | None) -> int:
    return len(needs.conditions) if needs is not None else 0


def _part_of(world: World, number: int, split: Mapping[int, Split]) -> Job:
    """A record, as it is once it has been split off."""
    event = split.get(number)
    if event is None:
        return world.jobs[number]
    return replace(world.jobs[event.job], id=number, tasks=event.tasks)


def own_parts(world: World, wish: JobWish) -> dict[Name, list[Part]]:
    """The parts that a wish names, as far as they are the caller's to change."""
    return {
        name: [
            part for part in arrays.parts(world, name) if wish.may_any or part[0].uid == wish.uid
        ]
        for name in wish.jobs
    }


def outcomes(
    named: Mapping[Name, list[Part]], judge: Callable[[Job], str], order: Sequence[str]
) -> Outcomes:
    """One word for each name: the first of ``order`` that is true of any part of it."""
    told = {name: {judge(job) for job, _ in parts} for name, parts in named.items()}
    words = {n: next((w for w in order if w in found), UNKNOWN) for n, found in told.items()}
    return Outcomes(tuple(words.items()))


def check_class(world: World, qos: str, groups: Sequence[str], path: str = "spec.qos") -> None:
    """Refuse a class that is not there or not for members of these groups."""
    classes = world.policy.classes
    if qos not in classes:
        known = ", ".join(sorted(name for name in classes if name)) or "none"
        raise MgpuError(
            "Refused", f"there is no class {qos!r}", path=path, hint=f"known are: {known}"
        )
    allowed = classes[qos].groups
    if allowed and not set(allowed).intersection(groups):
        raise MgpuError(
            "Denied",
            f"the class {qos!r} is for members of {', '.join(allowed)}",
            path=path,
            hint="leave --qos away, or ask the administrator",
        )


def _check_priority(world: World, priority: int, *, may_raise: bool, path: str) -> None:
    bound = world.policy.max_user_priority
    if priority > bound and not may_raise:
        raise MgpuError(
            "Denied",
            f"{priority} is more than the {bound} that users may give",
            path=path,
            hint=f"ask for {bound} or less; administrators give more with --admin",
        )


def _check_quotas(world: World, wish: Submit) -> None:
    owner = Owner(wish.uid, wish.user, wish.spec.project)
    count = wish.count if wish.tasks is None else len(wish.tasks)
    problem = quotas.over_queue(world, owner, wish.groups, count)
    if problem:
        hint = "wait until some have started, or cancel some; mgpu_ctl quota list shows the bounds"
        raise MgpuError("LimitReached", problem, path="count", hint=hint)


def _bounded(wish: Submit, first: int, now: Now) -> list[Event]:
    """Note how many tasks of a new array may run at once."""
    if wish.tasks is None or not wish.max_concurrent:
        return []
    total, span = len(wish.tasks), {"first": wish.tasks.first, "last": wish.tasks.last}
    array = Array(first, wish.uid, total, wish.max_concurrent, **span)
    return [Recorded(now, wish.uid, array)]


def _depending(
    world: World, wish: Submit, first: int, now: Now
) -> tuple[Dependency | None, list[Event]]:
    """What is left of the dependency of new jobs, and what follows for some of their tasks."""
    if wish.needs is None:
        return None, []
    array = first if wish.tasks is not None else 0
    who = (wish.uid, wish.user, wish.spec, now.wall, world.next_seq, Pending(now.wall))
    job = Job(first, *who, array=array, tasks=wish.tasks, needs=wish.needs)
    ends = dependency.known_ends(world, wish.needs, wish.known)
    return dependency.take_on(world, job, ends, now, first + wish.count)


def _joined(world: World, wish: Submit, now: Now) -> list[Event]:
    """Note the groups of the caller where they are new."""
    if wish.groups == world.groups_of(wish.uid):
        return []
    return [Recorded(now, 0, Membership(wish.uid, wish.groups))]


def _is_ending(job: Job) -> bool:
    phase = job.phase
    return isinstance(phase, Ended) or (isinstance(phase, Stopping) and not phase.goes_on)


def _cancel_outcome(job: Job) -> str:
    if isinstance(job.phase, Pending):
        return CANCELLED
    return ENDED if isinstance(job.phase, Ended) else CANCELLING


def change_outcome(job: Job) -> str:
    """What becomes of a job of which only the waiting ones can be changed."""
    if isinstance(job.phase, Pending):
        return CHANGED
    return ENDED if isinstance(job.phase, Ended) else STARTED


def _must_move(job: Job, wish: SetPriority) -> bool:
    return isinstance(job.phase, Pending) and job.priority != wish.priority
