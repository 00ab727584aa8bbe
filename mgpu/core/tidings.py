"""What has happened that somebody may want to be told: the events of :mod:`mgpu.model.notice`.

``before`` is asked about an event that is about to happen, ``after`` about one that just has;
``asked`` says that somebody wanted it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mgpu.core.arrays import named
from mgpu.core.serving import label
from mgpu.core.setbacks import started_wall
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import (
    CancelRequested,
    DependencyChanged,
    Erased,
    Event,
    Finished,
    Held,
    Launched,
    PriorityChanged,
    Recorded,
    Refused,
    Released,
    Requeued,
    Retried,
    Submitted,
)
from mgpu.model.gpu import Gpu
from mgpu.model.job import Ended, Job
from mgpu.model.notice import MILESTONES
from mgpu.model.records import Array, Drain, Outsider, Reservation

Facts = dict[str, Any]

_OF_STATE: Final[Mapping[str, str]] = {
    states.COMPLETED: "job_completed",
    states.TIMEOUT: "job_timeout",
    states.CANCELLED: "job_cancelled",
}
#: Of these the tasks that wait together are told of together.
_OF_WAITING: Final = frozenset({"job_submitted", "job_held", "job_released", "job_updated"})


@dataclass(frozen=True, slots=True)
class Tiding:
    """One event. ``about`` names what happened to whom, ``facts`` are told.

    ``job`` is None where it is none of a job's; ``whole`` says that it is of an array, or of a
    job that is in none; ``name`` is what people call the job.
    """

    event: str
    about: str
    facts: Facts = field(default_factory=dict)
    job: Job | None = None
    name: str = ""
    whole: bool = True

    def concerns(self, *, tasks: bool) -> bool:
        """Whether it is for who wants to be told of arrays, or of each of their ``tasks``."""
        one = self.event in _OF_WAITING or self.event in MILESTONES
        if self.job is None or not self.job.array or one:
            return True
        return self.whole != tasks


def before(world: World, event: Event, *, asked: bool) -> Iterator[Tiding]:
    """What is told of records that come and go; afterwards it is not known what was."""
    if isinstance(event, Recorded):
        yield from _recorded(world, event)
    elif isinstance(event, Erased) and event.kind == Reservation.__name__ and asked:
        known = world.records.get(Reservation, event.key)
        if known is not None:
            yield _reservation("reservation_cancelled", known)


def after(world: World, event: Event, *, asked: bool) -> Iterator[Tiding]:
    """What is told of jobs."""
    find = _OF_JOBS.get(type(event))
    job = world.jobs.get(event.job) or world.changed.get(event.job)
    if find is None or job is None or (isinstance(event, DependencyChanged) and not asked):
        return
    name = find(job, event)
    if name:
        yield from _of_job(world, job, event, name)
    if isinstance(event, Submitted) and event.held:
        yield from _of_job(world, job, event, "job_held")


def of_gpus(known: Mapping[str, Gpu], world: World) -> Iterator[Tiding]:
    """GPUs that could not be given out and can be again; ``known`` is how they were."""
    for uuid, gpu in world.gpus.items():
        if gpu.available and uuid in known and not known[uuid].available:
            yield Tiding("gpu_available", f"gpu {uuid}", {"gpu": _gpu(world, uuid)})


def online() -> Tiding:
    """The scheduler has started."""
    return Tiding("scheduler_online", "scheduler")


def _recorded(world: World, event: Recorded) -> Iterator[Tiding]:
    record = event.record
    if isinstance(record, Drain):
        yield from _fault(world, record)
    elif isinstance(record, Outsider):
        process = {"pid": record.pid, "uid": record.uid, "memory": record.memory}
        facts = {"gpu": _gpu(world, record.gpu), "process": process}
        yield Tiding("outsider_seen", f"process {record.key}", facts)
    elif isinstance(record, Reservation) and world.records.get(Reservation, record.key) is None:
        yield _reservation("reservation_created", record)
    elif isinstance(record, Array) and world.records.get(Array, record.key) is not None:
        yield from _bound(world, event, record)


def _fault(world: World, drain: Drain) -> Iterator[Tiding]:
    known = world.records.get(Drain, drain.key)
    if drain.error and (known is None or known.error != drain.error):
        facts = {"gpu": _gpu(world, drain.uuid), "fault": drain.error}
        yield Tiding("gpu_fault", f"gpu {drain.uuid}", facts)


def _bound(world: World, event: Recorded, array: Array) -> Iterator[Tiding]:
    """Somebody has changed how many tasks of an array run at once; not with its submission."""
    job = next(iter(world.arrays.of(array.id)), None)
    if job is not None and job.submitted < event.at.wall:
        yield told("job_updated", job, whole=True)


def _reservation(event: str, one: Reservation) -> Tiding:
    facts = {
        "id": one.id,
        "name": one.name,
        "start": one.start,
        "duration": one.duration,
        "gpus": one.count or len(one.gpus),
    }
    return Tiding(event, f"reservation {one.id}", {"reservation": facts})


def _gpu(world: World, uuid: str) -> Facts:
    known = world.gpus.get(uuid)
    return {"name": label(world, uuid), "uuid": uuid, "model": known.name if known else ""}


def _of_job(world: World, job: Job, event: Event, name: str) -> Iterator[Tiding]:
    """The tiding of a job or task, and that of the whole array where this makes one."""
    as_one = name in _OF_WAITING and len(job.tasks or ()) > 1
    yield told(name, job, whole=not job.array or as_one)
    if not job.array or isinstance(event, Submitted):
        return
    array = world.records.get(Array, job.array)
    if array is None:
        return
    if name == "job_started" and job.tasks is not None and job.attempt == 1:
        if job.tasks.first == array.first:
            yield told(name, job, whole=True)
    elif isinstance(job.phase, Ended) and not world.arrays.has(job.array):
        yield _array_over(job, array)


def _array_over(last: Job, array: Array) -> Tiding:
    well = "job_failed" if array.failed else "job_completed"
    event = "job_cancelled" if last.state == states.CANCELLED and not array.done else well
    tiding = told(event, last, whole=True)
    counts = {"total": array.total, "completed": array.done, "failed": array.failed}
    tiding.facts["job"]["tasks"] = counts
    return tiding


def told(event: str, job: Job, *, whole: bool) -> Tiding:
    """What is told of a job, or of its ``whole`` array."""
    name = _name(job, whole=whole)
    return Tiding(event, about(job, whole=whole), {"job": facts_of(job, name)}, job, name, whole)


def about(job: Job, *, whole: bool) -> str:
    """The run of a job, or of a task of its ``whole`` array, as notices name it."""
    return f"job {_name(job, whole=whole)}.{job.attempt}"


def _name(job: Job, *, whole: bool) -> str:
    return str(job.array) if job.array and whole else named(job)


def facts_of(job: Job, name: str) -> Facts:
    """What is told of a job; nothing of its environment, its folder or its command."""
    phase, facts = job.phase, {}
    started = phase.started if isinstance(phase, Ended) else started_wall(job)
    if isinstance(phase, Ended):
        facts = {"exit_code": phase.code, "signal": phase.signal, "ended": phase.ended}
        if started is not None:
            facts["elapsed"] = round(max(0.0, phase.ended - started), 3)
    return {
        "id": name,
        "user": job.user,
        "state": job.state,
        "name": job.spec.name,
        "project": job.spec.project or None,
        "gpus": job.spec.gpus,
        "attempt": job.attempt,
        "restarts": job.restarts,
        "submitted": job.submitted,
        "started": started,
        "detail": getattr(phase, "detail", "") or None,
        **facts,
    }


def _ended(job: Job, _event: Event) -> str:
    if not isinstance(job.phase, Ended):
        return ""
    return _OF_STATE.get(job.state, "job_failed")


_OF_JOBS: Final[Mapping[type, Callable[[Job, Any], str]]] = {
    Submitted: lambda _job, _event: "job_submitted",
    Launched: lambda _job, _event: "job_started",
    Finished: _ended,
    CancelRequested: _ended,
    Refused: _ended,
    Requeued: lambda _job, _event: "job_requeued",
    Retried: lambda _job, _event: "job_requeued",
    Held: lambda _job, _event: "job_held",
    Released: lambda _job, _event: "job_released",
    PriorityChanged: lambda _job, _event: "job_updated",
    DependencyChanged: lambda _job, _event: "job_updated",
}
