"""Signals to jobs that run. They change nothing that is stored, and are not repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mgpu.core import arrays
from mgpu.model.job import Job, Pending
from mgpu.model.target import Name, on_wire
from mgpu.model.time import Now
from mgpu.protocol import jobs, names

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher

#: What is told of a name of several records: the first of these that is true of one.
_ORDER = (names.SIGNALLED, names.UNREACHED, names.WAITING, names.UNKNOWN)


def signal(desk: Dispatcher, conn: Connection, request: jobs.Signal, now: Now) -> None:
    """Have the supervisors of these jobs send a signal; say of each whether that was ordered."""
    desk.refuse_in_recovery()
    may_any = desk.may_any(conn, names.SIGNAL)
    own = None if may_any else conn.uid
    told = [[on_wire(name), _to_all(desk, name, own, request)] for name in request.jobs]
    desk.note(conn.uid, names.SIGNAL, {"jobs": told}, now)
    desk.outcomes(conn, may_any=may_any)({"jobs": told}, now)


def _to_all(desk: Dispatcher, name: Name, own: int | None, request: jobs.Signal) -> str:
    parts = arrays.parts(desk.engine.world, name)
    mine = [job for job, _ in parts if own in (None, job.uid)]
    told = {_to_one(desk, job, request) for job in mine}
    return next((how for how in _ORDER if how in told), names.UNKNOWN)


def _to_one(desk: Dispatcher, job: Job, request: jobs.Signal) -> str:
    if job.begun is not None:
        sent = desk.signal((job.id, job.attempt), request.number, leader=request.leader)
        return names.SIGNALLED if sent else names.UNREACHED
    return names.WAITING if isinstance(job.phase, Pending) else names.UNREACHED


HANDLERS: dict[type, tuple[str, Callable[..., None]]] = {jobs.Signal: (names.SIGNAL, signal)}
