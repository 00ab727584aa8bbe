"""The life of a job: the one place where a job changes.

``TRANSITIONS`` is the whole truth about what may happen in which phase; a pair that is not in it
raises :class:`IllegalTransition` and changes nothing. Every handler leaves the indices right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from mgpu.core import closing, quotas, share
from mgpu.core.gates import GATES
from mgpu.core.order import since
from mgpu.core.queue import eligible_at
from mgpu.core.serving import forget_orders
from mgpu.core.setbacks import SHORT, crashes_after, failure, pause_after, started_wall
from mgpu.core.tally import weight
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import (
    Altered,
    Audited,
    CancelRequested,
    Deferred,
    DependencyChanged,
    Erased,
    Event,
    Evicted,
    Extended,
    Finished,
    Held,
    Launched,
    Measured,
    Noted,
    Preempted,
    PriorityChanged,
    Recorded,
    Refused,
    Released,
    Requeued,
    Retried,
    Split,
    Started,
    Submitted,
)
from mgpu.model.job import Ended, Job, Pending, Running, Starting, Stopping, altered
from mgpu.model.records import Array, Base
from mgpu.model.states import Reason
from mgpu.model.time import Now


class IllegalTransition(Exception):
    """An event that cannot happen to a job in its phase: the caller's bug, never the user's."""


def evolve(world: World, event: Event) -> None:
    """Apply one event."""
    if isinstance(event, Recorded | Erased):
        _keep(world, event)
        return
    if isinstance(event, Audited):
        return  # it tells of what other events have done
    job = world.jobs.get(event.job)
    handler = TRANSITIONS.get((type(job.phase if job else None), type(event)))
    if handler is None or not _is_current(world, job, event):
        raise IllegalTransition(f"{event!r} for {job!r}")
    handler(world, job, event)
    world.move_on(_starting(event))


def forget_boot(world: World) -> None:
    """After a restart of the machine: deadlines on the old boot's clock mean nothing now."""
    for job in [job for job in world.jobs.values() if eligible_at(job) > 0]:
        world.dequeue(job)
        job.phase = Pending(since(job))
        _wait(world, job)
    forget_orders(world)
    world.move_on()


def _is_current(world: World, job: Job | None, event: Event) -> bool:
    """Whether the event speaks of the attempt that is under way, or of ids not yet given.

    Of those that are being stopped only the ones that make room for others go on afterwards.
    """
    if isinstance(event, Submitted):
        return event.job >= world.next_id and event.count >= 1
    if isinstance(event, Requeued | CancelRequested) and job and isinstance(job.phase, Stopping):
        return job.phase.goes_on and getattr(event, "attempt", job.attempt) == job.attempt
    attempt = getattr(event, "attempt", None)
    if job is None or attempt is None:
        return job is not None
    return bool(attempt == job.attempt + isinstance(event, Started))


def _starting(event: Event) -> int:
    """The job that may be starting with this event, 0 for none."""
    if isinstance(event, Split):
        return event.child
    return event.job if isinstance(event, Started) else 0


def _keep(world: World, event: Recorded | Erased) -> None:
    if isinstance(event, Recorded):
        world.records.put(event.record)
        if isinstance(event.record, Base):
            world.traces.accept(event.record.uuid, event.record.used)
    else:
        world.records.drop(event.kind, event.key)
        if event.kind == Array.__name__:
            world.arrays.empty.discard(int(event.key))
    kind = type(event.record).__name__ if isinstance(event, Recorded) else event.kind
    if kind in GATES:
        world.judge()
    world.move_on()


def _submitted(world: World, _job: None, event: Submitted) -> None:
    if event.tasks is not None:
        first, last = event.tasks.first, event.tasks.last
        total = len(event.tasks)
        world.records.put(Array(event.job, event.uid, total, first=first, last=last))
    phase = Pending(event.at.wall)
    ids = range(event.job, event.job + event.count)
    seqs = range(world.next_seq, world.next_seq + event.count)
    uid, user, spec, wall, priority = (
        event.uid, event.user, event.spec, event.at.wall, event.priority,
    )  # fmt: skip
    jobs = [
        Job(number, uid, user, spec, wall, seq, phase, priority)
        for number, seq in zip(ids, seqs, strict=True)
    ]
    if event.tasks or event.held or event.begin or event.needs:
        for job in jobs:
            job.array, job.tasks = (job.id, event.tasks) if event.tasks else (0, None)
            job.held, job.begin, job.needs = event.held, event.begin, event.needs
    world.next_id, world.next_seq = ids.stop, seqs.stop
    by_id = dict(zip(ids, jobs, strict=True))
    world.add(by_id)
    world.enqueue(jobs)


def _split(world: World, job: Job, event: Split) -> None:
    assert job.tasks is not None  # noqa: S101 - only array records are split
    world.dequeue(job)
    world.arrays.remove(job)
    child = replace(job, id=event.child, tasks=event.tasks)
    job.tasks = job.tasks.without(event.tasks)
    world.arrays.add(job)
    world.next_id = max(world.next_id, event.child + 1)
    world.add({child.id: child})
    _wait(world, job)
    world.enqueue([child])


def _started(world: World, job: Job, event: Started) -> None:
    world.dequeue(job)
    job.attempt = event.attempt
    job.peaks, job.note = (), ""
    job.phase = Starting(event.gpus, event.at)
    world.place(job)
    world.touch(job)


def _launched(world: World, job: Job, event: Launched) -> None:
    job.deferrals = 0
    job.phase = Running(job.gpus, event.at, event.pid, event.ticks)
    world.touch(job)


def _launched_too_late(world: World, job: Job, event: Launched) -> None:
    phase = job.phase
    assert isinstance(phase, Stopping)  # noqa: S101 - the table says so
    job.deferrals = 0
    job.phase = replace(phase, started=event.at, pid=event.pid, ticks=event.ticks)
    world.touch(job)


def _cancelled(world: World, job: Job, event: CancelRequested) -> None:
    closing.close(world, job, event.at, states.CANCELLED)
    world.dequeue(job)
    job.phase = Ended(states.CANCELLED, max(event.at.wall, job.submitted))
    _leave(world, job)


def _stopped(world: World, job: Job, event: CancelRequested) -> None:
    phase = job.phase
    if isinstance(phase, Running):
        job.phase = Stopping(phase.gpus, event.uid, phase.started, phase.pid, phase.ticks)
    else:
        job.phase = Stopping(job.gpus, event.uid, None)
    world.touch(job)


def _cancelled_instead(world: World, job: Job, event: CancelRequested) -> None:
    """It was to be switched out; now it is to end."""
    phase = job.phase
    assert isinstance(phase, Stopping)  # noqa: S101 - the table says so
    job.phase = replace(phase, by=event.uid, preempted=0, cause="")
    world.touch(job)


def _deferred(world: World, job: Job, event: Deferred) -> None:
    world.displace(job, event.at)
    job.deferrals += event.counted
    job.phase = Pending(event.at.wall, event.eligible, event.reason, event.detail)
    _wait(world, job)


def _requeued(world: World, job: Job, event: Requeued) -> None:
    job.crashes = crashes_after(job, event.at.wall) if event.state == states.NODE_FAIL else 0
    pause = pause_after(job, event)
    phase = job.phase
    idle = isinstance(phase, Stopping) and phase.cause in states.SENT_BACK
    told = f"switched out: {phase.detail}" if isinstance(phase, Stopping) and idle else ""
    closing.close(world, job, event.at, event.state, final=False)
    _put_back(world, job, event.at)
    job.note = told
    job.restarts += 1
    if event.state == states.PREEMPTED and not idle:  # it did nothing to lose its place
        job.phase = Pending(job.submitted)
    else:
        _to_the_end(world, job)
    if pause:
        told = f"its runs are shorter than {SHORT:.0f} s"
        job.phase = Pending(event.at.wall, event.at.boot + pause, Reason.BEGIN_TIME, told)
    _wait(world, job)


def _retried(world: World, job: Job, event: Retried) -> None:
    how = {"code": event.code, "signal": event.signal}
    closing.close(world, job, event.at, states.FAILED, final=False, **how)
    _put_back(world, job, event.at)
    job.restarts += 1
    job.failures += 1
    job.crashes = 0
    detail = f"{failure(event)} (retry {job.failures} of {job.spec.retries})"
    job.phase = Pending(event.at.wall, event.eligible, Reason.BEGIN_TIME, detail)
    _to_the_end(world, job)
    _wait(world, job)


def _put_back(world: World, job: Job, at: Now) -> None:
    """Out of its attempt, which is paid for."""
    share.charge(world, job, at.wall)
    quotas.charge(world, job, at.wall)
    world.displace(job, at)
    job.deferrals = job.extension = 0
    job.note = ""
    job.phase = Pending(at.wall)


def _to_the_end(world: World, job: Job) -> None:
    job.seq = world.next_seq
    world.next_seq += 1


def _finished(world: World, job: Job, event: Finished) -> None:
    closing.close(world, job, event.at, event.state, code=event.code, signal=event.signal)
    gpus, started = job.gpus, started_wall(job)
    share.charge(world, job, event.at.wall)
    quotas.charge(world, job, event.at.wall)
    world.displace(job, event.at)
    # The wall clock may have been set back meanwhile; a duration is never negative.
    ended = max(event.at.wall, job.submitted if started is None else started)
    job.phase = Ended(event.state, ended, started, event.code, event.signal, event.detail, gpus)
    _leave(world, job)


def _refused(world: World, job: Job, event: Refused) -> None:
    world.dequeue(job)
    closing.close(world, job, event.at, states.CANCELLED)
    detail = f"{event.reason}: {event.detail}" if event.detail else event.reason
    job.phase = Ended(states.CANCELLED, max(event.at.wall, job.submitted), detail=detail)
    _leave(world, job)


def _preempted(world: World, job: Job, event: Preempted) -> None:
    phase = job.phase
    assert isinstance(phase, Running)  # noqa: S101 - the table says so
    known = (phase.started, phase.pid, phase.ticks)
    job.phase = Stopping(phase.gpus, 0, *known, preempted=event.by)
    world.touch(job)


def _evicted(world: World, job: Job, event: Evicted) -> None:
    phase = job.phase
    assert isinstance(phase, Running)  # noqa: S101 - the table says so
    known = (phase.started, phase.pid, phase.ticks)
    job.phase = Stopping(phase.gpus, 0, *known, cause=event.cause, detail=event.detail)
    world.touch(job)


def _measured(world: World, job: Job, event: Measured) -> None:
    job.peaks = event.peaks
    world.touch(job)


def _noted(world: World, job: Job, event: Noted) -> None:
    job.note = event.text
    world.touch(job)


def _extended(world: World, job: Job, event: Extended) -> None:
    job.extension = event.extension
    world.touch(job)


def _held(world: World, job: Job, event: Held) -> None:
    world.dequeue(job)
    job.held = event.held
    _wait(world, job)


def _released(world: World, job: Job, event: Released) -> None:
    world.dequeue(job)
    job.held, job.begin = "", event.begin or job.begin
    _wait(world, job)


def _depends(world: World, job: Job, event: DependencyChanged) -> None:
    if job.needs is not None and event.needs is not None:  # it keeps its place apart
        world.dependents.change(job, event.needs)
        job.needs = event.needs
        world.touch(job)
        return
    world.dequeue(job)
    job.needs = event.needs
    _wait(world, job)


def _moved(world: World, job: Job, event: PriorityChanged) -> None:
    world.dequeue(job)
    job.priority = event.priority
    _wait(world, job)


def _altered(world: World, job: Job, event: Altered) -> None:
    waits = isinstance(job.phase, Pending)
    if waits:
        world.dequeue(job)
    job.altered = (event.time_limit, event.qos, event.sizes)
    job.spec = altered(job.spec, job.altered)
    if waits:
        world.enqueue([job])
    world.touch(job)


def _leave(world: World, job: Job) -> None:
    """It has ended: its array counts it."""
    array = world.records.get(Array, job.array) if job.array else None
    if array is not None:
        well = weight(job) if job.state == states.COMPLETED else 0
        done, failed = array.done + well, array.failed + weight(job) - well
        world.records.put(replace(array, done=done, failed=failed))
    world.touch(job)


def _wait(world: World, job: Job) -> None:
    world.enqueue([job])
    world.touch(job)


#: (phase, event) -> what it does. ``NoneType``: there is no such active job.
TRANSITIONS: Final[Mapping[tuple[type, type], Callable[[World, Any, Any], None]]] = {
    (type(None), Submitted): _submitted,
    (Pending, Started): _started,
    (Pending, CancelRequested): _cancelled,
    (Pending, PriorityChanged): _moved,
    (Pending, Altered): _altered,
    (Pending, Split): _split,
    (Pending, Held): _held,
    (Pending, Released): _released,
    (Pending, DependencyChanged): _depends,
    (Pending, Refused): _refused,
    (Starting, Launched): _launched,
    (Starting, CancelRequested): _stopped,
    (Starting, Deferred): _deferred,
    (Starting, Requeued): _requeued,
    (Starting, Retried): _retried,
    (Starting, Finished): _finished,
    (Running, CancelRequested): _stopped,
    (Running, Altered): _altered,
    (Running, Requeued): _requeued,
    (Running, Retried): _retried,
    (Running, Finished): _finished,
    (Running, Preempted): _preempted,
    (Running, Extended): _extended,
    (Running, Evicted): _evicted,
    (Running, Measured): _measured,
    (Running, Noted): _noted,
    (Stopping, Measured): _measured,
    (Stopping, CancelRequested): _cancelled_instead,
    (Stopping, Requeued): _requeued,
    (Stopping, Launched): _launched_too_late,
    (Stopping, Finished): _finished,
}
