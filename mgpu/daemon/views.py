"""What callers are shown of jobs, private fields withheld."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mgpu.core import notes, usage
from mgpu.core.explain import reason_of
from mgpu.core.policy import effective_limit
from mgpu.core.redact import DETAIL, hidden_fields
from mgpu.core.world import World
from mgpu.model.job import Ended, Job, Pending
from mgpu.model.records import Array
from mgpu.model.sweep import expand
from mgpu.model.time import Now
from mgpu.protocol.messages import ok, part
from mgpu.protocol.names import JOB_FIELDS

#: About the size of one message of a listing, and of a row's short fields, in characters.
CHUNK = 1 << 16
ROW = 128
#: Columns whose length varies, beside the command and the folder.
LONG_AT = [JOB_FIELDS.index(name) for name in ("tasks", "dependency")]


class Viewer(NamedTuple):
    """Who looks, and what decides how much of other people's jobs is shown."""

    uid: int
    may_any: bool
    open_queue: bool


def whole(world: World, job: Job, now: Now) -> dict[str, Any]:
    """All fields of one job by name, as its owner sees them."""
    owner = Viewer(job.uid, may_any=True, open_queue=True)
    return dict(zip(JOB_FIELDS, row(world, job, owner, now), strict=True))


def listing(
    world: World, jobs: Iterable[Job], viewer: Viewer, now: Now
) -> Iterator[dict[str, Any]]:
    """The messages that list ``jobs``: rows in parts, then how many there were."""
    fields: dict[str, Any] = {"fields": list(JOB_FIELDS)}
    rows: list[list[Any]] = []
    same: list[Any] = []
    count = size = 0
    alike: Job | None = None
    for job in jobs:
        count += 1
        if alike is not None and _wait_alike(alike, job):
            rows.append([job.id, *same[1:4], *_why(world, job, now), *same[6:]])
        else:
            alike, same = job, row(world, job, viewer, now)
            rows.append(same)
        size += ROW + len(job.spec.command) + len(job.spec.cwd)
        size += sum(len(rows[-1][at]) for at in LONG_AT)
        if size >= CHUNK:
            yield part({"rows": rows, **fields})
            fields, rows, size = {}, [], 0
    if rows or fields:
        yield part({"rows": rows, **fields})
    yield ok({"count": count})


def _wait_alike(one: Job, other: Job) -> bool:
    """Whether two jobs of one submission wait, so that only id and reason differ in their rows.

    The phase is one object for all jobs of a submission until something happens to one of them.
    """
    return (
        one.spec is other.spec
        and one.phase is other.phase
        and one.tasks is other.tasks is None
        and one.needs is other.needs
        and isinstance(one.phase, Pending)
        and not one.phase.detail
        and (one.priority, one.begin) == (other.priority, other.begin)
    )


def row(world: World, job: Job, viewer: Viewer, now: Now) -> list[Any]:
    """One job in the order of ``names.JOB_FIELDS``. Private fields are None for others."""
    spec = job.spec
    mine = job.uid == viewer.uid
    hidden = hidden_fields(job, mine=mine, may_any=viewer.may_any, open_queue=viewer.open_queue)
    times, task = _times(job, now), _task(world, job)
    reason, detail = _why(world, job, now)
    return [
        job.id,
        None if "name" in hidden else task.name,
        job.user,
        job.state,
        reason,
        "" if DETAIL in hidden else detail,
        job.submitted,
        times.started,
        times.ended,
        times.elapsed,
        effective_limit(spec, world.policy),
        spec.gpus,
        spec.gpu_mem,
        _indices(world, job),
        job.priority,
        job.restarts,
        job.attempt,
        times.code,
        times.signal,
        None if "command" in hidden else task.command,
        None if "cwd" in hidden else spec.cwd,
        spec.exclusive,
        spec.requeue,
        mine,
        str(job.needs or ""),
        job.array,
        "" if job.tasks is None else str(job.tasks),
        task.bound,
        None if "command" in hidden else task.params,
        _peak(world, job),
        notes.shown(world, job),
        None if "project" in hidden else spec.project,
        spec.qos,
        spec.cpus,
        spec.host_mem,
        spec.gpu_type,
        job.begin or None,
    ]


class _Task(NamedTuple):
    """What differs between the tasks of an array, and the bound of those that wait."""

    name: str
    command: str
    params: dict[str, str]
    bound: int = 0


def _task(world: World, job: Job) -> _Task:
    spec, tasks = job.spec, job.tasks
    if tasks is None:
        return _Task(spec.name, spec.command, {})
    array = world.records.get(Array, job.array) if isinstance(job.phase, Pending) else None
    bound = array.max_concurrent if array is not None else 0
    params = spec.sweep.values(tasks.first) if spec.sweep and len(tasks) == 1 else {}
    name = expand(spec.name_template, params) if spec.name_template else spec.name
    return _Task(name, expand(spec.command, params), params, bound)


class _Times(NamedTuple):
    started: float | None
    ended: float | None
    elapsed: float
    code: int | None
    signal: int | None


_NOT_STARTED = _Times(None, None, 0.0, None, None)


def _times(job: Job, now: Now) -> _Times:
    phase = job.phase
    if isinstance(phase, Ended):
        elapsed = max(0.0, phase.ended - phase.started) if phase.started else 0.0
        return _Times(phase.started, phase.ended, elapsed, phase.code, phase.signal)
    if job.begun is None:
        return _NOT_STARTED
    return _Times(job.begun.wall, None, max(0.0, now.boot - job.begun.boot), None, None)


def _why(world: World, job: Job, now: Now) -> tuple[str, str]:
    phase = job.phase
    if isinstance(phase, Pending):
        return reason_of(world, job, now)
    return ("", phase.detail) if isinstance(phase, Ended) else ("", "")


def _indices(world: World, job: Job) -> list[int]:
    phase = job.phase
    if isinstance(phase, Pending) or not phase.gpus:
        return []
    return sorted(world.gpus[uuid].index for uuid in phase.gpus if uuid in world.gpus)


def _peak(world: World, job: Job) -> list[list[int]]:
    known = usage.peaks(world, job)
    return sorted([world.gpus[uuid].index, mib] for uuid, mib in known if uuid in world.gpus)
