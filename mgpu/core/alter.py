"""Another time limit, another class or other sizes for jobs that are there."""

from __future__ import annotations

from mgpu.core import arrays, deadline
from mgpu.core.feasible import check_feasible
from mgpu.core.policy import shorter_limit
from mgpu.core.requests import Alter
from mgpu.core.wishes import (
    CHANGED,
    ENDED,
    STARTED,
    Judged,
    change_outcome,
    check_class,
    outcomes,
    own_parts,
)
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import Altered, Event, Split
from mgpu.model.job import Change, Job, JobSpec, Pending, Running, altered
from mgpu.model.time import Now
from mgpu.model.units import format_duration


def alter(world: World, wish: Alter, now: Now) -> Judged:
    """Change what waits, and the time limit of what runs."""
    if wish.qos is not None:
        classes, groups = world.policy.classes, world.groups_of(wish.uid)
        if wish.may_any and wish.qos in classes:
            groups = classes[wish.qos].groups
        check_class(world, wish.qos, groups, "qos")
    named = own_parts(world, wish)
    parts = [part for found in named.values() for part in found if _may_change(part[0], wish)]
    for job, _ in parts:
        _check(world, job, wish, now)
    events: list[Event]
    events, numbers = arrays.cut(world, parts, now)
    changes = {job.id: _change(job, wish) for job, _ in parts}
    parents = {event.child: event.job for event in events if isinstance(event, Split)}
    for number in numbers:
        events.append(Altered(now, number, wish.uid, *changes[parents.get(number, number)]))
    return events, outcomes(named, lambda job: _outcome(job, wish), (CHANGED, STARTED, ENDED))


def _may_change(job: Job, wish: Alter) -> bool:
    waits, runs = isinstance(job.phase, Pending), isinstance(job.phase, Running)
    return waits or (runs and wish.qos is None and not wish.resizes)


def _change(job: Job, wish: Alter) -> Change:
    """All that can be changed, as it is to be."""
    spec = job.spec
    limit = spec.time_limit if wish.time_limit is None else wish.time_limit or None
    qos = spec.qos if wish.qos is None else wish.qos
    if not wish.resizes:
        return limit, qos, job.altered[2] if job.altered else None
    gpus = spec.gpus if wish.gpus is None else wish.gpus
    gpu_mem = spec.gpu_mem if wish.gpu_mem is None else wish.gpu_mem or None
    return limit, qos, (gpus, gpu_mem, spec.host_mem if wish.host_mem is None else wish.host_mem)


def _outcome(job: Job, wish: Alter) -> str:
    return CHANGED if _may_change(job, wish) else change_outcome(job)


def _check(world: World, job: Job, wish: Alter, now: Now) -> None:
    """Refuse what could never start, or end in time, or what only administrators may give."""
    if isinstance(job.phase, Pending):
        spec = altered(job.spec, _change(job, wish))
        if wish.resizes:
            _check_sizes(world, spec)
        if wish.time_limit is not None:
            deadline.check(world, spec, job.begin, now)
        return
    if wish.time_limit is None:
        return
    before = shorter_limit(job.spec.time_limit, world.policy)
    after = shorter_limit(wish.time_limit or None, world.policy)
    if not wish.may_any and before and (not after or after > before):
        raise MgpuError(
            "Denied",
            f"job {job.id} runs with a limit of {format_duration(before)}: "
            "only an administrator gives it more",
            path="time_limit",
            hint="give less, or ask an administrator (mgpu_job update --admin)",
        )


def _check_sizes(world: World, spec: JobSpec) -> None:
    if spec.gpus == 0 and (spec.gpu_mem is not None or spec.exclusive):
        raise MgpuError(
            "Refused",
            "asks for no GPU, and for memory of it or for it alone",
            path="gpus",
            hint="with --mem none it asks for no memory of GPUs",
        )
    check_feasible(world, spec)
