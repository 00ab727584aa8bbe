"""Dependencies of requests: their text, the caller's newest jobs, and jobs that are over."""

from __future__ import annotations

from collections.abc import Iterable

from mgpu.core.dependents import End, Parent, end_of, origin
from mgpu.core.world import World
from mgpu.model.dependency import AFTERCORR, SINGLETON, WHOLE, Condition, Dependency, Newest
from mgpu.model.dependency import parse_dependency as parse
from mgpu.model.errors import MgpuError
from mgpu.model.states import COMPLETED, FAILED, PENDING
from mgpu.store.base import JobFilter, Outcome, Store


def read(
    world: World, store: Store, text: str, uid: int
) -> tuple[Dependency | None, dict[Parent, End]]:
    """The dependency that ``uid`` wrote, None for an empty text, and what is over of it.

    Raises MgpuError.
    """
    if not text:
        return None, {}
    needs = parse(text, newest(world, store, uid))
    return needs, known(world, store, needs.conditions)


def newest(world: World, store: Store, uid: int, path: str = "spec.dependency") -> Newest:
    """What ``@`` and ``@~N`` mean to a caller: a job, or an array as a whole.

    ``path`` is what the error is about where there is no such job.
    """

    def find(back: int) -> int:
        active = {origin(job) for job in world.jobs.values() if job.uid == uid}
        known = sorted(active.union(store.newest(uid, back + 1)), reverse=True)
        if back < len(known):
            return known[back]
        name = f"@~{back}" if back else "@"
        what = f"{name}: you have submitted {len(known)} jobs"
        hint = "mgpu_queue --me --all lists your jobs"
        raise MgpuError("UnknownJob", what, path=path, hint=hint)

    return find


def known(world: World, store: Store, conditions: Iterable[Condition]) -> dict[Parent, End]:
    """The ends of those that ``conditions`` are about, as far as they are over."""
    open_ones = [one for one in conditions if one.kind != SINGLETON and not one.never]
    found: dict[Parent, End] = {}
    plain = {one.job for one in open_ones if one.task == WHOLE and _may_be_over(world, one.job)}
    if plain:
        wanted = JobFilter(ids=sorted(plain), limit=len(plain))
        jobs = [job for job in store.find(wanted) if not job.array]
        found |= {(job.id, WHOLE): end_of(job) for job in jobs}
    followed = {one.job for one in open_ones if one.kind == AFTERCORR}
    for number in plain.difference(number for number, _ in found):
        outcomes = store.outcomes(number)
        found |= _whole(number, outcomes)
        found |= _each(number, outcomes, {WHOLE}) if number in followed else {}
    for number, tasks in _tasks(world, open_ones).items():
        single = next(iter(tasks)) if len(tasks) == 1 and WHOLE not in tasks else None
        found |= _each(number, store.outcomes(number, single), tasks)
    return found


def of_waiting(world: World, store: Store) -> dict[Parent, End]:
    """The ends of all that waiting jobs wait for, as far as they are over."""
    waiting = [job.needs for job in world.jobs.values() if job.needs and job.state == PENDING]
    conditions = {condition for needs in waiting for condition in needs.conditions}
    return known(world, store, conditions)


def _may_be_over(world: World, number: int) -> bool:
    return number not in world.jobs and not world.arrays.has(number)


def _tasks(world: World, conditions: Iterable[Condition]) -> dict[int, set[int]]:
    """The tasks to look up of arrays that may be active in part; WHOLE: all of them."""
    wanted: dict[int, set[int]] = {}
    for one in conditions:
        over = one.task != WHOLE and world.arrays.find(one.job, one.task) is None
        if over or (one.kind == AFTERCORR and world.arrays.has(one.job)):
            wanted.setdefault(one.job, set()).add(one.task)
    return wanted


def _each(number: int, outcomes: Iterable[Outcome], wanted: set[int]) -> dict[Parent, End]:
    """The ends of the tasks that are asked for: an array may have very many."""
    return {
        (number, task): End(one.state, one.ended)
        for one in outcomes
        for task in (one.tasks if WHOLE in wanted else wanted)
        if task in one.tasks
    }


def _whole(number: int, outcomes: list[Outcome]) -> dict[Parent, End]:
    """The end of an array that is over."""
    if not outcomes:
        return {}
    well = all(one.state == COMPLETED for one in outcomes)
    last = max(one.ended for one in outcomes)
    return {(number, WHOLE): End(COMPLETED if well else FAILED, last)}
