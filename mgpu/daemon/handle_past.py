"""What happened to a job, and what it was submitted with: for its owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mgpu.core import arrays
from mgpu.core.dependents import origin
from mgpu.core.world import World
from mgpu.daemon.handle_jobs import unknown_job
from mgpu.daemon.sayings import said
from mgpu.daemon.targets import as_given
from mgpu.model import states
from mgpu.model.errors import MgpuError
from mgpu.model.events import Event, Submitted
from mgpu.model.job import Ended, Job
from mgpu.model.records import Array
from mgpu.model.target import Name, Target
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now
from mgpu.protocol import jobs, names
from mgpu.protocol.codec import unpack_reply
from mgpu.store.base import JobFilter, StoreCorrupt

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher

#: Events of one answer: the newest.
MOST_EVENTS = 1000
#: What is told of a spec as it was given; the rest has another form on the wire.
_AS_GIVEN = (
    *("name", "gpus", "gpu_mem", "exclusive", "time_limit", "requeue", "signal", "project", "qos"),
    *("gpu_type", "min_gpu_total", "cpus", "host_mem", "retries", "kill_on_invalid_dep"),
)


def history(desk: Dispatcher, conn: Connection, request: jobs.History, now: Now) -> None:
    """The events of a job in order, as (Unix time, word, attempt, uid or -1, sentence)."""
    own = None if desk.may_any(conn, names.HISTORY) else conn.uid
    records = _records(desk, request.job, own)
    events = _events(desk, records)
    rows = [_row(desk.engine.world, event) for event in events[-MOST_EVENTS:]]
    desk.ok(conn, {"rows": rows}, now)


def _events(desk: Dispatcher, records: list[Job]) -> list[Event]:
    """Theirs, and of tasks how their array was submitted."""
    found = desk.store.events_of([job.id for job in records], MOST_EVENTS)
    arrays_of = {job.array for job in records if job.array} - {job.id for job in records}
    first = [_submitted(desk, array) for array in sorted(arrays_of)]
    return [*filter(None, first), *found]


def _row(world: World, event: Event) -> list[Any]:
    attempt, uid = getattr(event, "attempt", 0), getattr(event, "uid", -1)
    return [event.at.wall, type(event).__name__, attempt, uid, said(world, event)]


def submission(desk: Dispatcher, conn: Connection, request: jobs.Submission, now: Now) -> None:
    """What a job was submitted with, so that it can be submitted again; for its owner alone.

    An environment can hold secrets: administrators do not get it either.
    """
    records = _records(desk, request.job, conn.uid)
    job = records[0]
    payload = _payload(desk, job, request.job)
    body = {
        "states": sorted({one.state for one in records}),
        "spec": payload | _spec(desk, records, request.job),
        "lost_gpus": sum(uuid not in desk.engine.world.gpus for uuid in job.spec.gpu_uuids),
        "origin": origin(job),
        "dependents": _dependents(desk, job),
    }
    desk.ok(conn, body, now)


def _records(desk: Dispatcher, name: Name, own: int | None) -> list[Job]:
    """The records that ``name`` means; raises MgpuError where there are none of the caller's."""
    active = [job for job, _ in arrays.parts(desk.engine.world, name)]
    mine = [job for job in active if own in (None, job.uid)]
    found = {job.id: job for job in [*mine, *desk.ended_of([name], own)]}
    if not found:
        raise unknown_job(name)
    return [found[number] for number in sorted(found)]


def _payload(desk: Dispatcher, job: Job, name: Name) -> dict[str, Any]:
    try:
        data = desk.store.payload(job.spec.spec_id)
    except StoreCorrupt as error:
        if job.state not in states.ENDED:
            raise
        raise MgpuError(
            "Refused",
            f"what job {name} was submitted with is not kept any more",
            hint="submit it anew; jobs.keep_for_redo says how long it is kept after the end",
        ) from error
    return unpack_reply(data)


def _spec(desk: Dispatcher, records: list[Job], name: Name) -> dict[str, Any]:
    """The fields of a submission as on the wire; a dependency and times are not repeated."""
    job = records[0]
    known = {one.index for one in desk.engine.world.gpus.values() if one.uuid in job.spec.gpu_uuids}
    made: dict[str, Any] = {field: getattr(job.spec, field) for field in _AS_GIVEN}
    made |= {"gpu_ids": sorted(known), "min_capability": list(job.spec.min_capability)}
    made |= {"signal": list(job.spec.signal or ()), "priority": job.priority}
    made |= as_given(job.spec.notify)
    if not any(made["min_capability"]):
        del made["min_capability"]
    if job.array:
        made["array"] = str(_tasks(desk, records, name))
        known_array = desk.engine.world.records.get(Array, job.array)
        made["max_concurrent"] = known_array.max_concurrent if known_array else 0
    return made


def _tasks(desk: Dispatcher, records: list[Job], name: Name) -> Tasks:
    """Those that are named; of a whole array all that it was submitted with."""
    if isinstance(name, Target):
        return name.tasks
    array = _submitted(desk, records[0].array)
    if name == records[0].array and array is not None and array.tasks is not None:
        return array.tasks
    return records[0].tasks or Tasks(())


def _submitted(desk: Dispatcher, number: int) -> Submitted | None:
    found = desk.store.first_event(number)
    return found if isinstance(found, Submitted) else None


def _dependents(desk: Dispatcher, job: Job) -> list[list[str]]:
    """The owner's jobs that were given up for this one, each with what it waited for."""
    wanted = JobFilter(
        uids=[job.uid], states=[states.CANCELLED], since=job.submitted, limit=MOST_EVENTS
    )
    found: dict[str, str] = {}
    for one in desk.store.find(wanted):
        needs = one.needs.conditions if one.needs is not None and _given_up(one) else ()
        if any(condition.job == origin(job) for condition in needs):
            found[str(origin(one))] = str(one.needs)
    return [[name, needs] for name, needs in found.items()]


def _given_up(job: Job) -> bool:
    phase = job.phase
    return isinstance(phase, Ended) and phase.detail.startswith(states.Reason.NEVER_SATISFIED)


HANDLERS: dict[type, tuple[str, Callable[..., None]]] = {
    jobs.History: (names.HISTORY, history),
    jobs.Submission: (names.SUBMISSION, submission),
}
