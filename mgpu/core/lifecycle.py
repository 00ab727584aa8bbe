"""The life of a job: the one place where a job changes.

``TRANSITIONS`` is the whole truth about what may happen in which phase; a pair that is not in it
raises :class:`IllegalTransition` and changes nothing. Every handler leaves the indices right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import (
    CancelRequested,
    Deferred,
    Event,
    Finished,
    Launched,
    PriorityChanged,
    Requeued,
    Started,
    Submitted,
)
from mgpu.model.job import Ended, Job, Pending, Running, Starting, Stopping


class IllegalTransition(Exception):
    """An event that cannot happen to a job in its phase: the caller's bug, never the user's."""


def evolve(world: World, event: Event) -> None:
    """Apply one event."""
    job = world.jobs.get(event.job)
    handler = TRANSITIONS.get((type(job.phase if job else None), type(event)))
    if handler is None or not _is_current(world, job, event):
        raise IllegalTransition(f"{event!r} for {job!r}")
    handler(world, job, event)
    world.move_on(event.job if isinstance(event, Started) else 0)


def forget_boot(world: World) -> None:
    """After a restart of the machine: deadlines on the old boot's clock mean nothing now."""
    for job in list(world.queue.delayed):
        world.dequeue(job)
        job.phase = Pending(_waits_since(job))
        _wait(world, job)
    world.move_on()


def _is_current(world: World, job: Job | None, event: Event) -> bool:
    """Whether the event speaks of the attempt that is under way, or of ids not yet given."""
    if isinstance(event, Submitted):
        return event.job >= world.next_id and event.count >= 1
    attempt = getattr(event, "attempt", None)
    if job is None or attempt is None:
        return job is not None
    return bool(attempt == job.attempt + isinstance(event, Started))


def _submitted(world: World, _job: None, event: Submitted) -> None:
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
    world.next_id, world.next_seq = ids.stop, seqs.stop
    by_id = dict(zip(ids, jobs, strict=True))
    world.jobs.update(by_id)
    world.changed.update(by_id)
    world.enqueue(jobs)


def _started(world: World, job: Job, event: Started) -> None:
    world.dequeue(job)
    job.attempt = event.attempt
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
    job.phase = Stopping(phase.gpus, phase.by, event.at, event.pid, event.ticks)
    world.touch(job)


def _cancelled(world: World, job: Job, event: CancelRequested) -> None:
    world.dequeue(job)
    job.phase = Ended(states.CANCELLED, max(event.at.wall, job.submitted))
    world.touch(job)


def _stopped(world: World, job: Job, event: CancelRequested) -> None:
    phase = job.phase
    if isinstance(phase, Running):
        job.phase = Stopping(phase.gpus, event.uid, phase.started, phase.pid, phase.ticks)
    else:
        job.phase = Stopping(job.gpus, event.uid, None)
    world.touch(job)


def _deferred(world: World, job: Job, event: Deferred) -> None:
    world.displace(job)
    job.deferrals += event.counted
    job.phase = Pending(event.at.wall, event.eligible, event.reason, event.detail)
    _wait(world, job)


def _requeued(world: World, job: Job, event: Requeued) -> None:
    world.displace(job)
    job.deferrals = 0
    job.restarts += 1
    job.seq = world.next_seq
    world.next_seq += 1
    job.phase = Pending(event.at.wall)
    _wait(world, job)


def _finished(world: World, job: Job, event: Finished) -> None:
    gpus, started = job.gpus, _started_wall(job)
    world.displace(job)
    # The wall clock may have been set back meanwhile; a duration is never negative.
    ended = max(event.at.wall, job.submitted if started is None else started)
    job.phase = Ended(event.state, ended, started, event.code, event.signal, event.detail, gpus)
    world.touch(job)


def _moved(world: World, job: Job, event: PriorityChanged) -> None:
    world.dequeue(job)
    job.priority = event.priority
    _wait(world, job)


def _wait(world: World, job: Job) -> None:
    world.enqueue([job])
    world.touch(job)


def _waits_since(job: Job) -> float:
    return job.phase.since if isinstance(job.phase, Pending) else job.submitted


def _started_wall(job: Job) -> float | None:
    phase = job.phase
    if isinstance(phase, Running | Stopping) and phase.started is not None:
        return phase.started.wall
    return None


#: (phase, event) -> what it does. ``NoneType``: there is no such active job.
TRANSITIONS: Final[Mapping[tuple[type, type], Callable[[World, Any, Any], None]]] = {
    (type(None), Submitted): _submitted,
    (Pending, Started): _started,
    (Pending, CancelRequested): _cancelled,
    (Pending, PriorityChanged): _moved,
    (Starting, Launched): _launched,
    (Starting, CancelRequested): _stopped,
    (Starting, Deferred): _deferred,
    (Starting, Requeued): _requeued,
    (Starting, Finished): _finished,
    (Running, CancelRequested): _stopped,
    (Running, Requeued): _requeued,
    (Running, Finished): _finished,
    (Stopping, Launched): _launched_too_late,
    (Stopping, Finished): _finished,
}
