"""Requests of administrators about the daemon itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mgpu import __version__
from mgpu.core import closure
from mgpu.core import orders as core
from mgpu.core import requests as wishes
from mgpu.core.world import World
from mgpu.daemon import audit
from mgpu.daemon.control import Control, Told
from mgpu.model.errors import MgpuError
from mgpu.model.job import Pending
from mgpu.model.time import Now
from mgpu.protocol import control, names
from mgpu.system.log import log

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher

#: Events that one request about the audit trail looks at: it must not hold up the others.
SPAN: Final = 5000


# -- looking --------------------------------------------------------------------------------------


def show_config(desk: Dispatcher, conn: Connection, _request: control.ShowConfig, now: Now) -> None:
    """The value of each setting, and where it comes from."""
    held = _control(desk)
    file = held.settings.get("config.path", "")
    desk.ok(conn, {"now": now.wall, "file": file, "settings": held.rows()}, now)


def status(desk: Dispatcher, conn: Connection, _request: control.Status, now: Now) -> None:
    """How the daemon is; what went wrong, and its configuration, for administrators alone."""
    world = desk.engine.world
    mode, detail = _mode(desk, world)
    body: dict[str, Any] = {
        "now": now.wall,
        "version": __version__,
        "uptime": now.boot - desk.started.boot,
        "mode": mode,
        "detail": detail,
        "backend": world.backend,
        "driver": world.inventory.driver,
        "gpus": _gpus(world),
        "queue": _queue(world),
    }
    if desk.may_any(conn, names.AUDIT):
        body |= _of_control(desk)
    desk.ok(conn, body, now)


def _mode(desk: Dispatcher, world: World) -> tuple[str, str]:
    if desk.rules.recovery:
        return "recovery", desk.rules.recovery
    closed = closure.of(world)
    if closed is None:
        return "normal", ""
    return "stopping" if closed.stop else "drained", closed.reason


def _gpus(world: World) -> dict[str, int]:
    gpus = world.gpus.values()
    held = {uuid for job in world.placed.values() for uuid in job.gpus}
    return {
        "all": len(gpus),
        "available": sum(gpu.available for gpu in gpus),
        "held": len(held & world.gpus.keys()),
    }


def _queue(world: World) -> dict[str, int]:
    """Jobs and tasks that run, that wait, and those of them that are held."""
    waiting = [job for job in world.jobs.values() if isinstance(job.phase, Pending)]
    sizes = [(len(job.tasks) if job.tasks is not None else 1, bool(job.held)) for job in waiting]
    return {
        "running": len(world.placed),
        "waiting": sum(size for size, _ in sizes),
        "held": sum(size for size, held in sizes if held),
    }


def _of_control(desk: Dispatcher) -> dict[str, Any]:
    settings = desk.control.settings if desk.control is not None else {}
    error = log.last_error
    return {
        "last_error": {"at": error[0], "text": error[1]} if error is not None else None,
        "log_level": log.level,
        "config": settings.get("config.path", ""),
        "waiting": sorted(settings.get("config.waiting", ())),
    }


def trail(desk: Dispatcher, conn: Connection, request: control.Audit, now: Now) -> None:
    """Who asked for what, newest first; ``next`` is where to go on, 0 at the end."""
    events, after = desk.store.trail(request.before, SPAN)
    rows = [audit.shown(event) for event in events]
    if rows and rows[-1]["at"] < request.since:
        after = 0
    chosen = [row for row in rows if _is_wanted(row, request)]
    desk.ok(conn, {"now": now.wall, "rows": _bounded(chosen), "next": after}, now)


def _bounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries; of those that do not fit into one answer, less of which jobs they are about."""
    room = names.MAX_REPLY // 2
    for row in rows:
        room -= len(row["about"]) + len(row["result"])
        if room < 0:
            row |= {name: audit.cut(row[name]) for name in ("about", "result")}
    return rows


def _is_wanted(row: dict[str, Any], request: control.Audit) -> bool:
    return (
        request.since <= row["at"] < request.until
        and (not request.users or row["uid"] in request.users)
        and (not request.ops or row["op"] in request.ops)
        and (not request.job or _is_about(row["about"], request.job))
        and not (request.refused and audit.did_all(row["result"]))
    )


def _is_about(about: str, job: int) -> bool:
    """Whether ``7``, ``5-9`` or ``3,42_7`` names a job."""
    for word in re.split(r",(?![^\[]*\])", about):  # not at those between tasks
        first, dash, last = word.partition("-")
        if dash and first.isdecimal() and last.isdecimal() and int(first) <= job <= int(last):
            return True
        if word.partition("_")[0] == str(job):
            return True
    return False


# -- changing -------------------------------------------------------------------------------------


def reload(desk: Dispatcher, conn: Connection, _request: control.Reload, _now: Now) -> None:
    """Read the configuration again; a bad one changes nothing."""

    def done(told: dict[str, Any], at: Now) -> None:
        desk.note(conn.uid, names.RELOAD, _outcome(told), at)
        desk.ok(conn, told, at)

    _control(desk).reload(done)


def by_signal(desk: Dispatcher) -> Told:
    """What notes a reload that nobody asked for here: root alone can send root's process SIGHUP."""
    return lambda told, at: desk.note(0, names.RELOAD, _outcome(told), at)


def _outcome(told: dict[str, Any]) -> Any:
    if told["problems"]:
        return MgpuError("Refused", told["problems"][0])
    return {"key": ",".join(told["changed"]) or "nothing new"}


def log_level(desk: Dispatcher, conn: Connection, request: control.LogLevel, now: Now) -> None:
    """Write more, or less, into the log."""
    _control(desk).set_level(request.level)
    desk.done(conn, names.LOG_LEVEL, request.level, now)


def drain(desk: Dispatcher, conn: Connection, request: control.DrainMachine, _now: Now) -> None:
    """Start no job any more."""
    desk.order(conn, names.MACHINE_DRAIN, core.CloseMachine(conn.uid, request.reason))


def resume(desk: Dispatcher, conn: Connection, _request: control.ResumeMachine, _now: Now) -> None:
    """Start jobs again."""
    desk.order(conn, names.MACHINE_RESUME, core.OpenMachine(conn.uid))


def shutdown(desk: Dispatcher, conn: Connection, request: control.Shutdown, now: Now) -> None:
    """End the daemon, now or once no job runs any more."""
    held = _control(desk)
    if request.how == control.NOW:
        desk.done(conn, names.SHUTDOWN, request.how, now)
        held.stop()
        return
    cancel = request.how == control.CANCEL
    order = core.CloseMachine(conn.uid, request.reason, stop=True, cancel=cancel)
    desk.order(conn, names.SHUTDOWN, order)


def requeue(desk: Dispatcher, conn: Connection, request: control.Requeue, _now: Now) -> None:
    """Let running jobs wait for their turn again."""
    may_any = desk.may_any(conn, names.REQUEUE)
    wish = wishes.Requeue(request.jobs, conn.uid, may_any)
    desk.change_jobs(conn, names.REQUEUE, wish)


def backup(desk: Dispatcher, conn: Connection, request: control.Backup, now: Now) -> None:
    """Copy the database beside itself, and verify the copy."""
    desk.refuse_in_recovery()
    if desk.copies is None:
        raise MgpuError("Refused", "this scheduler has no state to copy")

    def copied(told: dict[str, Any] | MgpuError, at: Now) -> None:
        with desk.answering(conn, names.BACKUP, at):
            if isinstance(told, MgpuError):
                raise told
            desk.done(conn, names.BACKUP, str(told.get("path", "checked")), at, told)

    desk.copies.make("backup" if request.keep else "check", copied, now)


def _control(desk: Dispatcher) -> Control:
    if desk.control is None:
        raise MgpuError("Refused", "this scheduler has no launcher to ask")
    return desk.control


#: request -> the operation as the role table names it, and what answers it.
HANDLERS: dict[type, tuple[str, Callable[[Any, Any, Any, Now], None]]] = {
    control.ShowConfig: (names.CONFIG, show_config),
    control.Reload: (names.RELOAD, reload),
    control.Status: (names.STATUS, status),
    control.Audit: (names.AUDIT, trail),
    control.LogLevel: (names.LOG_LEVEL, log_level),
    control.DrainMachine: (names.MACHINE_DRAIN, drain),
    control.ResumeMachine: (names.MACHINE_RESUME, resume),
    control.Shutdown: (names.SHUTDOWN, shutdown),
    control.Requeue: (names.REQUEUE, requeue),
    control.Backup: (names.BACKUP, backup),
}
