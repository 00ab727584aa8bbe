"""Arrays that follow other arrays task by task (``aftercorr``).

The tasks that wait stay in the array's own record until their counterparts have ended; those that
may start then go on in a record of their own, all together. As long as this one waits for its
turn nothing else is cut out of the array, and of those that can never start, or have another
array to wait for, more are cut only once they are as many as before. So whatever happens to the
array that is followed costs little, and few records wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from mgpu.core import bounds
from mgpu.core.arrays import named
from mgpu.core.dependents import Ends, Follower
from mgpu.core.progress import together
from mgpu.core.world import World
from mgpu.model.dependency import AFTERCORR, WHOLE, Condition, Dependency
from mgpu.model.events import DependencyChanged, Event, Split
from mgpu.model.job import Job, Pending
from mgpu.model.records import Array
from mgpu.model.states import COMPLETED, FAILED
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now

#: What some tasks still depend on, and these tasks.
Group = tuple[Dependency | None, Tasks]


def follow(world: World, job: Job, now: Now, child: int, cut: Counter[int]) -> list[Event]:
    """What follows for the tasks of a waiting array; the first part gets the id ``child``.

    ``cut`` counts by user what has been cut already and is not evolved yet.
    """
    needs, index = job.needs, world.dependents
    if needs is None or needs.hopeless or job.held or job.tasks is None or len(job.tasks) == 1:
        return []
    follower = index.follower(job)
    if _is_waiting(world, follower.batch):
        return []
    if bounds.are_full(world, job.uid, cut[job.uid]):
        index.delay(job)
        return []
    groups = (
        _any(world, job, needs, follower) if needs.any_of else _all(world, job, needs, follower)
    )
    events = apart(job, groups, now, child)
    if groups and groups[0][0] is None and isinstance(events[0], Split):
        index.set_batch(job, child)
    cut[job.uid] += sum(isinstance(event, Split) for event in events)
    return events or _lost(world, job, needs, now)


def apart(job: Job, groups: Iterable[Group], now: Now, child: int) -> list[Event]:
    """Groups of tasks go on by themselves; what is left of the record may be one of them."""
    events: list[Event] = []
    remaining = len(job.tasks or ())
    for left, tasks in groups:
        remaining -= len(tasks)
        if remaining:
            events.append(Split(now, job.id, child, tasks))
        events.append(DependencyChanged(now, child if remaining else job.id, left))
        child += 1
    return events


def is_array(world: World, number: int, ends: Ends) -> bool:
    """Whether this is an array, also one that is over as far as somebody still follows it."""
    if world.arrays.has(number) or world.records.get(Array, number) is not None:
        return True
    if number in world.dependents.progress:
        return True
    return any(parent == number and task != WHOLE for parent, task in ends)


def describe(world: World, job: Job) -> str:
    """Why tasks that may start are still in the array's record; nothing where none may be."""
    if job.id in world.dependents.put_off.get(job.uid, {}):
        waiting, bound = world.pending_of.get(job.uid, 0), world.policy.max_pending_per_user
        return f"{waiting} jobs of {job.user} wait; tasks go on when no more than {bound} do"
    batch = world.jobs.get(world.dependents.batch_of(job))
    if batch is None or not _is_waiting(world, batch.id):
        return ""
    if any(world.arrays.has(one.job) for one in _corresponding(world, job.needs)):
        return ""
    return f"goes on when {named(batch)} has started"


def _all(world: World, job: Job, needs: Dependency, follower: Follower) -> list[Group]:
    """The groups to cut where all conditions are to come true: one after the other does."""
    conditions = _corresponding(world, needs)
    if len(conditions) < len(needs.conditions):
        return []  # nothing may start yet, whatever has ended
    first = next((one for one in conditions if not world.arrays.has(one.job)), conditions[0])
    if not _is_due(world, first.job, follower):
        return []
    others = tuple(one for one in conditions if one is not first)
    found = _ended(world, job, first.job, follower)
    ready = [] if others or COMPLETED not in found else [(None, found.pop(COMPLETED))]
    aside: list[Group] = [(_after(state, first, others), tasks) for state, tasks in found.items()]
    if not ready and _is_early(world, first.job, follower, aside):
        return []
    _read(world, first.job, follower)
    follower.aside += _count(aside)
    return [*ready, *aside]


def _after(state: str, first: Condition, others: tuple[Condition, ...]) -> Dependency:
    """What is left for the tasks whose counterparts in one of the arrays have ended so."""
    return Dependency(others if state == COMPLETED else (replace(first, never=state), *others))


def _is_due(world: World, parent: int, follower: Follower) -> bool:
    progress = world.dependents.progress.get(parent)
    if progress is None:
        return False
    return progress.count >= follower.look or not world.arrays.has(parent)


def _is_early(world: World, parent: int, follower: Follower, aside: list[Group]) -> bool:
    """Whether tasks that may not start are too few to be cut; then it says when to look again."""
    missing = follower.aside - _count(aside)
    if missing <= 0 or not world.arrays.has(parent):
        return False
    follower.look = world.dependents.progress[parent].count + missing
    return True


def _count(groups: list[Group]) -> int:
    return sum(len(tasks) for _, tasks in groups)


def _any(world: World, job: Job, needs: Dependency, follower: Follower) -> list[Group]:
    """The tasks of which one counterpart has ended well."""
    well: list[Tasks] = []
    for one in _corresponding(world, needs):
        found = _ended(world, job, one.job, follower).get(COMPLETED)
        well += [found] if found is not None else []
        _read(world, one.job, follower)
    return [(None, Tasks(()).join(*well))] if well else []


def _lost(world: World, job: Job, needs: Dependency, now: Now) -> list[Event]:
    """Of several conditions, those whose arrays are over cannot come true for what is left."""
    over = [one for one in _corresponding(world, needs) if not world.arrays.has(one.job)]
    if not needs.any_of or not over:
        return []
    left = tuple(replace(one, never=FAILED) if one in over else one for one in needs.conditions)
    return [DependencyChanged(now, job.id, replace(needs, conditions=left))]


def _corresponding(world: World, needs: Dependency | None) -> list[Condition]:
    """The conditions on the tasks of arrays, as far as they can come true."""
    conditions = needs.conditions if needs is not None else ()
    return [
        one
        for one in conditions
        if one.kind == AFTERCORR and not one.never and is_array(world, one.job, {})
    ]


def _ended(world: World, job: Job, parent: int, follower: Follower) -> dict[str, Tasks]:
    """The tasks of ``job`` whose counterparts ended since they were read last, by state."""
    progress, tasks = world.dependents.progress.get(parent), job.tasks
    if progress is None or tasks is None:
        return {}
    place = follower.place(parent)
    common = [(state, tasks.meet(some)) for state, some in progress.since(place)]
    return together([(state, some) for state, some in common if some.ranges])


def _read(world: World, parent: int, follower: Follower) -> None:
    progress = world.dependents.progress.get(parent)
    if progress is not None:
        follower.places[parent] = progress.place


def _is_waiting(world: World, number: int) -> bool:
    """Whether tasks that were cut wait for nothing but their turn."""
    job = world.jobs.get(number)
    if job is None or not isinstance(job.phase, Pending):
        return False
    return not job.held and job.needs is None and not job.attempt
