"""Requests about GPUs: administrators say which are given out, everybody may look."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mgpu.core import orders as core
from mgpu.core import serving
from mgpu.core.world import World
from mgpu.daemon.engine import Ask
from mgpu.model.errors import MgpuError
from mgpu.model.gpu import Gpu
from mgpu.model.records import Drain, Excused, Ignored, Restriction
from mgpu.model.time import Now
from mgpu.protocol import gpus, names

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher


def list_gpus(desk: Dispatcher, conn: Connection, _request: gpus.ListGpus, now: Now) -> None:
    """Which GPUs are given out, and what is ordered about the others."""
    world = desk.engine.world
    rows = [_gpu(world, gpu) for gpu in world.gpus.values()]
    desk.ok(conn, {"now": now.wall, "gpus": rows, "restriction": _restriction(world)}, now)


def list_processes(
    desk: Dispatcher, conn: Connection, _request: gpus.ListProcesses, now: Now
) -> None:
    """The processes that use GPUs and belong to no job: no more of them than ps shows."""
    world = desk.engine.world
    ignored = {(one.pid, one.ticks) for one in world.records.all(Ignored)}
    rows = [
        {
            "pid": process.pid,
            "uid": process.uid,
            "gpu": gpu.index,
            "uuid": gpu.uuid,
            "memory": process.memory,
            "since": process.since,
            "ignored": (process.pid, process.ticks) in ignored,
        }
        for gpu, process in serving.processes(world)
        if not process.job
    ]
    desk.ok(conn, {"now": now.wall, "processes": rows}, now)


def drain(desk: Dispatcher, conn: Connection, request: gpus.Drain, _now: Now) -> None:
    """Start nothing new on GPUs."""
    order = core.DrainGpus(conn.uid, request.gpus, request.reason)
    desk.order(conn, names.GPU_DRAIN, order)


def resume(desk: Dispatcher, conn: Connection, request: gpus.Resume, _now: Now) -> None:
    """Give GPUs out again; the fault for which one was drained counts as repaired."""
    world = desk.engine.world
    named = set(serving.find(world, request.gpus))

    def resumed(reply: dict[str, Any], now: Now) -> None:
        for gpu in world.inventory.gpus:
            excused = world.records.get(Excused, gpu.uuid)
            if excused is not None and {gpu.uuid, gpu.card} & named:
                desk.repaired(gpu.uuid, now)
        desk.ok(conn, reply, now)

    order = core.ResumeGpus(conn.uid, request.gpus)
    desk.change(conn, names.GPU_RESUME, Ask(order, resumed, conn.uid))


def restrict(desk: Dispatcher, conn: Connection, request: gpus.Restrict, _now: Now) -> None:
    """Start new jobs on some GPUs alone."""
    desk.order(conn, names.GPU_SET, core.RestrictGpus(conn.uid, request.gpus))


def ignore(desk: Dispatcher, conn: Connection, request: gpus.Ignore, _now: Now) -> None:
    """Let a process not count."""
    desk.order(conn, names.GPU_IGNORE, core.IgnoreProcess(conn.uid, request.pid))


def unignore(desk: Dispatcher, conn: Connection, request: gpus.Unignore, _now: Now) -> None:
    """Let a process count again."""
    desk.order(conn, names.GPU_UNIGNORE, core.HeedProcess(conn.uid, request.pid))


def simulate(desk: Dispatcher, conn: Connection, request: gpus.Simulate, now: Now) -> None:
    """Let something happen to a simulated GPU."""
    world = desk.engine.world
    if world.backend != "simulated":
        text = f"the GPUs of this machine are real: they come from {world.backend}"
        hint = 'only those of gpus.backend = "simulated" can be told what to do'
        raise MgpuError("Refused", text, path="gpu", hint=hint)
    uuids = serving.find(world, [request.gpu])
    for uuid in uuids:
        desk.simulate(world.gpus[uuid].index, now, **request.facts())
    desk.done(conn, names.GPU_SIMULATE, ",".join(serving.label(world, u) for u in uuids), now)


def _gpu(world: World, gpu: Gpu) -> dict[str, Any]:
    known = world.records
    drain = known.get(Drain, gpu.uuid) or (known.get(Drain, gpu.card) if gpu.card else None)
    return {
        "index": gpu.index,
        "uuid": gpu.uuid,
        "card": gpu.card,
        "name": gpu.name,
        "available": gpu.available,
        "state": gpu.state,
        "note": gpu.note,
        "allowed": world.may_use(gpu),
        "fault": gpu.fault,
        "drain": _drain(drain) if drain is not None else None,
    }


def _drain(drain: Drain) -> dict[str, Any]:
    said = {"reason": drain.reason, "by": drain.by, "at": drain.at, "fault": drain.fault}
    return {**said, "broken": drain.broken}


def _restriction(world: World) -> dict[str, Any] | None:
    """Where it is said which GPUs may be used: ``by`` is None for the configuration."""
    record = world.records.get(Restriction, "gpus")
    if record is None and world.policy.devices is None:
        return None
    allowed = [gpu.index for gpu in world.gpus.values() if world.may_use(gpu)]
    source = "set-gpus" if record is not None else "configuration"
    return {"source": source, "by": record.by if record is not None else None, "gpus": allowed}


#: request -> the operation as the role table names it, and what answers it.
HANDLERS: dict[type, tuple[str, Callable[[Any, Any, Any, Now], None]]] = {
    gpus.ListGpus: (names.GPU_LIST, list_gpus),
    gpus.ListProcesses: (names.GPU_PROCESSES, list_processes),
    gpus.Drain: (names.GPU_DRAIN, drain),
    gpus.Resume: (names.GPU_RESUME, resume),
    gpus.Restrict: (names.GPU_SET, restrict),
    gpus.Ignore: (names.GPU_IGNORE, ignore),
    gpus.Unignore: (names.GPU_UNIGNORE, unignore),
    gpus.Simulate: (names.GPU_SIMULATE, simulate),
}
