"""Requests about jobs by their names: wait for their end, change what they may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mgpu.core import arrays
from mgpu.core import requests as core
from mgpu.core.roster import Part
from mgpu.daemon import dependencies, views
from mgpu.model.errors import MgpuError
from mgpu.model.job import Ended, Job
from mgpu.model.target import Name, Names, Target, name_of, on_wire
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now
from mgpu.protocol import jobs, messages, names, questions

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher

#: The fields of a row by which its logs are found.
_OF_LOGS = ("id", "array", "tasks", "user", "state", "name", "cwd", "attempt", "restarts")


def wait(desk: Dispatcher, conn: Connection, request: messages.Wait, now: Now) -> None:
    """Tell the end of each job as it comes; of an array, the end of each task."""
    own = None if desk.may_any(conn, names.WAIT) else conn.uid
    world = desk.engine.world
    ended = desk.ended_of(request.jobs, own)
    awaited: dict[Name, None] = {}
    for name in request.jobs:
        parts = [part for part in arrays.parts(world, name) if part[0].id in world.jobs]
        strange = any(own not in (None, job.uid) for job, _ in parts)
        if strange or not (parts or is_among(name, ended)):
            raise unknown_job(name)
        if parts:
            awaited[_awaited(name, parts)] = None
    if awaited:
        desk.waiters.add(conn, awaited)
    for job in ended:
        desk.tell(conn, job, now, by_id=job.id in request.jobs)
    if not awaited:
        desk.ok(conn, {}, now)


def update(desk: Dispatcher, conn: Connection, request: messages.Update, now: Now) -> None:
    """Change how many tasks of an array may run at once."""
    may_any = desk.may_any(conn, names.UPDATE)
    wish = core.Update(request.job, request.max_concurrent, conn.uid, may_any)
    desk.change_jobs(conn, names.UPDATE, wish)


def alter(desk: Dispatcher, conn: Connection, request: jobs.Alter, now: Now) -> None:
    """Give jobs another time limit, another class or other sizes."""
    may_any = desk.may_any(conn, names.ALTER)
    terms = (request.jobs, request.time_limit, request.qos)
    sizes = (request.gpus, request.gpu_mem, request.host_mem)
    wish = core.Alter(*terms, conn.uid, may_any, *sizes)
    desk.change_jobs(conn, names.ALTER, wish)


def depend(desk: Dispatcher, conn: Connection, request: messages.Depend, now: Now) -> None:
    """Let waiting jobs depend on other jobs than before."""
    may_any = desk.may_any(conn, names.DEPEND)
    needs, known = dependencies.read(desk.engine.world, desk.store, request.dependency, conn.uid)
    wish = core.SetDependency(request.jobs, needs, known, conn.uid, may_any)
    desk.change_jobs(conn, names.DEPEND, wish)


def logs(desk: Dispatcher, conn: Connection, request: questions.Logs, now: Now) -> None:
    """What a client needs to find the logs of the caller's jobs; nothing about other ones."""
    own = None if desk.may_any(conn, names.LOGS) else conn.uid
    world = desk.engine.world
    active = [job for name in request.jobs for job, _ in arrays.parts(world, name)]
    ended = desk.ended_of(request.jobs, own)
    found = {job.id: job for job in [*active, *ended] if own in (None, job.uid)}
    chosen = list(found.values())[: questions.MOST]
    if request.terminal:
        chosen = [job for job in chosen if job.id in world.jobs and _attachable(desk, job)]
    desk.ok(conn, {"rows": [_logs_of(desk, job, now) for job in chosen]}, now)


def _attachable(desk: Dispatcher, job: Job) -> bool:
    return desk.attaching.has_terminal(desk.store, job)


def newest(desk: Dispatcher, conn: Connection, request: questions.Newest, now: Now) -> None:
    """The number of the caller's newest job, or of one before it."""
    find = dependencies.newest(desk.engine.world, desk.store, conn.uid, "jobs")
    desk.ok(conn, {"job": find(request.back)}, now)


def _logs_of(desk: Dispatcher, job: Job, now: Now) -> dict[str, object]:
    row = views.whole(desk.engine.world, job, now)
    told = {name: row[name] for name in _OF_LOGS}
    return told | {"output": job.spec.output, "error": job.spec.error}


def end_of(job: Job, *, by_id: bool) -> dict[str, object]:
    """How a job ended: its id, or ``42_7`` for a task that was not asked for ``by_id``."""
    phase = job.phase
    if not isinstance(phase, Ended):
        raise TypeError(f"job {job.id} has not ended")
    plain = job.tasks is None or (by_id and job.id != job.array)
    name = job.id if plain else name_of(job.array, job.tasks or Tasks(()))
    return {"job": [name, phase.state, phase.code, phase.signal, phase.detail]}


def unknown_job(name: Name) -> MgpuError:
    """The same words for a job that does not exist and for one of somebody else."""
    return MgpuError(
        "UnknownJob",
        f"job {on_wire(name)}: unknown, or not yours",
        hint="mgpu_queue --me --all lists your jobs",
    )


def is_among(name: Name, ended: list[Job]) -> bool:
    """Whether any of these jobs is meant by ``name``."""
    wanted = Names([name])
    return any(wanted.has(job.id, job.array, job.tasks) for job in ended)


def _awaited(name: Name, parts: list[Part]) -> Name:
    """A record by its id, or the tasks that are left of an array."""
    first = parts[0][0]
    if not first.array or (first.id == name != first.array):
        return first.id
    tasks = [some or job.tasks or Tasks(()) for job, some in parts]
    return Target(first.array, Tasks(()).join(*tasks))


HANDLERS: dict[type, tuple[str, Callable[..., None]]] = {
    messages.Wait: (names.WAIT, wait),
    messages.Update: (names.UPDATE, update),
    messages.Depend: (names.DEPEND, depend),
    jobs.Alter: (names.ALTER, alter),
    questions.Logs: (names.LOGS, logs),
    questions.Newest: (names.NEWEST, newest),
}
