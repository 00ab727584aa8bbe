"""What users ask for: submit, cancel, change the priority."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mgpu.core import quotas
from mgpu.core.placement import large_enough, need_of
from mgpu.core.requests import Cancel, SetPriority, Submit
from mgpu.core.tally import Owner
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import CancelRequested, Event, PriorityChanged, Recorded, Submitted
from mgpu.model.job import Ended, Job, JobSpec, Pending, Stopping
from mgpu.model.records import Membership
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

    jobs: tuple[tuple[int, str], ...]


Judged = tuple[list[Event], Accepted | Outcomes]


def submit(world: World, wish: Submit, now: Now) -> Judged:
    """Accept new jobs, unless they could never start or are too many."""
    if wish.count < 1:
        raise MgpuError("BadRequest", f"expected 1 or more, got {wish.count}", path="count")
    _check_priority(world, wish.priority, admin=wish.admin, path="spec.priority")
    _check_gpus(world, wish.spec)
    _check_memory(world, wish.spec)
    _check_pending(world, wish)
    _check_quotas(world, wish)
    first = world.next_id
    who = (wish.uid, wish.user, wish.spec, wish.priority)
    rest = (wish.tasks, wish.held, wish.begin, wish.needs)
    event = Submitted(now, first, wish.count, *who, *rest)
    return [*_joined(world, wish, now), event], Accepted(first, wish.count)


def cancel(world: World, wish: Cancel, now: Now) -> Judged:
    """End jobs: waiting ones at once, the others as soon as their processes are gone."""
    events: list[Event] = []
    outcomes = {}
    for number in wish.jobs:
        job = _own(world, number, wish.uid, may_any=wish.may_any)
        if job is not None and number not in outcomes and not _is_ending(job):
            events.append(CancelRequested(now, number, wish.uid))
        outcomes[number] = _cancel_outcome(job)
    return events, Outcomes(tuple(outcomes.items()))


def set_priority(world: World, wish: SetPriority, now: Now) -> Judged:
    """Move waiting jobs in the queue."""
    _check_priority(world, wish.priority, admin=wish.may_any, path="priority")
    events: list[Event] = []
    outcomes = {}
    for number in wish.jobs:
        job = _own(world, number, wish.uid, may_any=wish.may_any)
        outcomes[number] = _priority_outcome(job)
        if job is not None and _must_move(job, wish.priority):
            events.append(PriorityChanged(now, number, wish.uid, wish.priority))
    unique = {event.job: event for event in events}
    return list(unique.values()), Outcomes(tuple(outcomes.items()))


def _check_priority(world: World, priority: int, *, admin: bool, path: str) -> None:
    bound = world.policy.max_user_priority
    if priority > bound and not admin:
        raise MgpuError(
            "Denied",
            f"{priority} is more than the {bound} that users may give",
            path=path,
            hint=f"ask for {bound} or less, or have an administrator raise it",
        )


def _check_gpus(world: World, spec: JobSpec) -> None:
    if spec.gpus > len(world.gpus):
        raise MgpuError(
            "Refused",
            f"asks for {_gpus(spec.gpus)}; this machine has {len(world.gpus)}",
            path="spec.gpus",
            hint=f"ask for {len(world.gpus)} or fewer; mgpu_info shows them",
        )


def _check_memory(world: World, spec: JobSpec) -> None:
    need = need_of(spec)
    usable = [gpu.total - world.policy.margin for gpu in world.gpus.values()]
    enough = sum(large_enough(size, need) for size in usable)
    if enough < spec.gpus:
        raise MgpuError(
            "Refused",
            f"asks for {_gpus(spec.gpus)} with {spec.gpu_mem} MiB{' each' * (spec.gpus > 1)}; "
            f"this machine has {enough} that large (largest: {max(usable)} MiB)",
            path="spec.gpu_mem",
            hint=f"ask for {sorted(usable)[-spec.gpus]} MiB or less; mgpu_info shows the GPUs",
        )


def _check_pending(world: World, wish: Submit) -> None:
    waiting = world.pending_of.get(wish.uid, 0)
    bound = world.policy.max_pending_per_user
    if bound and waiting + wish.count > bound:
        raise MgpuError(
            "LimitReached",
            f"{waiting} of your jobs wait; {wish.count} more would pass the limit of {bound}",
            path="count",
            hint="wait until some have started, or cancel some",
        )


def _check_quotas(world: World, wish: Submit) -> None:
    owner = Owner(wish.uid, wish.user, wish.spec.project)
    count = wish.count if wish.tasks is None else len(wish.tasks)
    problem = quotas.over_queue(world, owner, wish.groups, count)
    if problem:
        hint = "wait until some have started, or cancel some; mgpu_ctl quota list shows the bounds"
        raise MgpuError("LimitReached", problem, path="count", hint=hint)


def _joined(world: World, wish: Submit, now: Now) -> list[Event]:
    """Note the groups of the caller where they are new."""
    if wish.groups == world.groups_of(wish.uid):
        return []
    return [Recorded(now, 0, Membership(wish.uid, wish.groups))]


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _own(world: World, number: int, uid: int, *, may_any: bool) -> Job | None:
    job = world.jobs.get(number) or world.changed.get(number)
    return job if job is not None and (may_any or job.uid == uid) else None


def _is_ending(job: Job) -> bool:
    phase = job.phase
    return isinstance(phase, Ended) or (isinstance(phase, Stopping) and not phase.preempted)


def _cancel_outcome(job: Job | None) -> str:
    if job is None:
        return UNKNOWN
    if isinstance(job.phase, Pending):
        return CANCELLED
    return ENDED if isinstance(job.phase, Ended) else CANCELLING


def _priority_outcome(job: Job | None) -> str:
    if job is None:
        return UNKNOWN
    if isinstance(job.phase, Pending):
        return CHANGED
    return ENDED if isinstance(job.phase, Ended) else STARTED


def _must_move(job: Job, priority: int) -> bool:
    return isinstance(job.phase, Pending) and job.priority != priority
