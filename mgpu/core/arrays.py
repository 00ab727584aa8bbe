"""Arrays of jobs: how many tasks may run at once, and the parts of them that requests name.

A waiting record stands for any number of tasks. Whatever concerns some of them alone splits
these off into a record of their own first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from mgpu.core import bounds
from mgpu.core.roster import Part
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import Erased, Event, Split
from mgpu.model.job import Job, Pending
from mgpu.model.records import Array
from mgpu.model.target import Name, Target, name_of
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now

#: Groups of several tasks that an array may wait in, and ranges of indices that they may have
#: together: a request that names tasks looks at all of them.
MOST_GROUPS: Final = 100
MOST_RANGES: Final = 2000

_NONE: Final = Tasks(())
_SHOWN: Final = 64


def may_start(world: World, job: Job, starting: Mapping[int, int]) -> bool:
    """Whether one more task of this waiting record may start.

    ``starting`` are the tasks, by record, that start in this pass already.
    """
    if bounds.are_back(world, job.uid) and len(job.tasks or ()) > 1:
        return False
    array = world.records.get(Array, job.array)
    if array is None or not array.max_concurrent:
        return True
    now = world.arrays.running(job.array)
    for number, count in starting.items():
        now += count if world.jobs[number].array == job.array else 0
    return now < array.max_concurrent


def settle(world: World, now: Now) -> list[Event]:
    """Forget the arrays that are over."""
    over = sorted(world.arrays.empty)
    return [Erased(now, 0, Array.__name__, str(n)) for n in over if world.records.get(Array, n)]


def named(job: Job) -> str:
    """A record as people know it: ``42``, ``42_7``, ``42_[8-100]``; a long list is cut."""
    if job.tasks is None:
        return str(job.id)
    text = name_of(job.array, job.tasks)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...]"


def name_in(world: World, number: int) -> str:
    """As :func:`named` for the record of this id; the id where it is not active any more."""
    job = world.jobs.get(number)
    return str(number) if job is None else named(job)


def parts(world: World, name: Name) -> list[Part]:
    """The records that ``name`` means, as far as they are active or ended in this turn.

    A plain number is an array with all of its tasks, or one record whatever it belongs to.
    """
    if isinstance(name, Target):
        return world.arrays.parts(name.job, name.tasks)
    if world.arrays.has(name):
        return [(job, None) for job in world.arrays.of(name)]
    job = world.jobs.get(name) or world.changed.get(name)
    return [] if job is None else [(job, None)]


def cut(
    world: World, wanted: Iterable[Part], now: Now, *, end: bool = False
) -> tuple[list[Event], list[int]]:
    """The splits after which every part has a record of its own, and the ids of these records.

    Parts of what no longer waits are records already. A part that is named twice counts once.
    ``end`` tells that the parts end at once. Raises MgpuError where too many records would wait.
    """
    events: list[Split] = []
    ids: list[int] = []
    child = world.next_id
    for job, tasks in _merged(wanted):
        if tasks is None or not isinstance(job.phase, Pending):
            ids.append(job.id)
            continue
        events.append(Split(now, job.id, child, tasks))
        ids.append(child)
        child += 1
    _check_room(world, events, end=end)
    return [*events], ids


def _check_room(world: World, splits: list[Split], *, end: bool) -> None:
    """Refuse splits that would leave too much to keep, and to look at in every request."""
    taken = {split.job: split.tasks for split in splits}
    if not end:
        _check_owners(world, [world.jobs[number] for number in taken])
    for array in {world.jobs[number].array for number in taken}:
        left = [(job.tasks or _NONE, taken.get(job.id, _NONE)) for job in world.arrays.of(array)]
        groups = [tasks.without(gone) for tasks, gone in left]
        groups += [] if end else [gone for _, gone in left]
        _check_groups(array, [tasks for tasks in groups if len(tasks) > 1])


def _check_owners(world: World, cut: list[Job]) -> None:
    for uid, more in Counter(job.uid for job in cut).items():
        bounds.check_apart(world, uid, more)
        conditions = [job.needs.conditions for job in cut if job.uid == uid and job.needs]
        bounds.check_conditions(world, uid, sum(map(len, conditions)))


def _check_groups(array: int, groups: list[Tasks]) -> None:
    ranges = sum(len(tasks.ranges) for tasks in groups)
    if len(groups) > MOST_GROUPS or ranges > MOST_RANGES:
        raise MgpuError(
            "TooLarge",
            f"array {array} would wait in {len(groups)} groups of {ranges} ranges of tasks; "
            f"allowed are {MOST_GROUPS} groups and {MOST_RANGES} ranges",
            path="jobs",
            hint=f"name ranges such as {array}_[0-99], or the whole array",
        )


def _merged(wanted: Iterable[Part]) -> list[Part]:
    """Each record once, with all that is wanted of it."""
    found: dict[int, tuple[Job, list[Tasks | None]]] = {}
    for job, tasks in wanted:
        found.setdefault(job.id, (job, []))[1].append(tasks)
    return [(job, _together(job, parts)) for job, parts in found.values()]


def _together(job: Job, parts: list[Tasks | None]) -> Tasks | None:
    some = [tasks for tasks in parts if tasks is not None]
    if len(some) < len(parts):
        return None
    both = Tasks(()).join(*some)
    return None if job.tasks is not None and len(both) == len(job.tasks) else both
