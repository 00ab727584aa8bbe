"""What callers are shown of the machine: its GPUs, who holds them, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mgpu.core import reservations
from mgpu.core.arrays import name_in
from mgpu.core.placement import Room
from mgpu.core.schedule import outlook
from mgpu.core.world import World
from mgpu.model.gpu import Gpu, Link, Process
from mgpu.model.job import Job, Pending
from mgpu.model.records import Ignored
from mgpu.model.time import Now
from mgpu.model.units import format_capability

Row = dict[str, Any]

#: What the launcher says of the machine: what tells a job's processes, what keeps it to its GPUs.
FOOTING: Final = ("tracking", "fenced_by")


def info(world: World, version: str, now: Now) -> Row:
    """All GPUs with who holds them, how many jobs wait and run, and who is to get GPUs next."""
    pending = sum(isinstance(job.phase, Pending) for job in world.jobs.values())
    taken = world.inventory.taken
    return {
        "backend": world.backend,
        "version": version,
        "now": now.wall,
        "driver": world.inventory.driver,
        "isolation": world.policy.isolation,
        "hidden": world.inventory.hidden,
        "age": max(0.0, now.boot - taken) if taken else None,
        "gpus": [_gpu(world, gpu, now) for gpu in world.gpus.values()],
        "topology": [[Link(link).name for link in row] for row in world.topology],
        "host": _host(world),
        "pending": pending,
        "running": len(world.jobs) - pending,
        "next": _next(world, now),
        "classes": sorted({one.name for one in world.policy.classes.values()}),
    }


def _host(world: World) -> dict[str, int]:
    """The machine's CPUs and memory for jobs (0: no bound), and what jobs have of them."""
    policy, ledger = world.policy, world.ledger
    return {
        "cpus": policy.cpus,
        "cpus_reserved": ledger.cpus,
        "memory": policy.host_memory,
        "memory_reserved": ledger.host_mem,
    }


def _next(world: World, now: Now) -> Row | None:
    """The first job in line that waits for others to end; ``in`` is None where nobody knows."""
    held = outlook(world, now).reservation
    if held is None:
        return None
    job, wait = held.job, held.at - now.boot
    return {
        **_name(job),
        "user": job.user,
        "gpus": list(held.gpus),
        "in": max(0.0, wait) if wait < float("inf") else None,
        "after": name_in(world, held.after) if held.after else "",
    }


def _gpu(world: World, gpu: Gpu, now: Now) -> Row:
    room = world.ledger.room(gpu, world.policy)
    jobs = sorted(world.ledger.on(gpu.uuid), key=lambda job: job.id)
    return {
        "index": gpu.index,
        "uuid": gpu.uuid,
        "name": gpu.name,
        "capability": format_capability(gpu.capability) if gpu.capability > (0, 0) else "",
        "bus": gpu.bus,
        "card": gpu.card,
        "total": gpu.total,
        "used": gpu.used,
        "outside": gpu.outside,
        "reserved": world.ledger.reserved(gpu.uuid),
        "free": max(0, room.free) if _takes_more(room) else 0,
        **gpu.reading._asdict(),
        "available": gpu.available,
        "state": gpu.state,
        "note": gpu.note,
        "jobs": [_holder(gpu, job, now) for job in jobs],
        "outsiders": list(_outsiders(world, gpu)),
        "reservations": _reservations(world, gpu, now),
    }


def _takes_more(room: Room) -> bool:
    return room.available and not room.cleaning and not room.alone


def _holder(gpu: Gpu, job: Job, now: Now) -> list[Any]:
    """A job in the order of ``client.views.Holder``."""
    named = _name(job)
    elapsed = max(0.0, now.boot - job.begun.boot) if job.begun is not None else 0.0
    used = dict(gpu.measured).get(job.id)
    asked = job.spec.gpu_mem
    return [job.id, job.user, asked, elapsed, job.state, used, named["array"], named["tasks"]]


def _name(job: Job) -> Row:
    return {"id": job.id, "array": job.array, "tasks": "" if job.tasks is None else str(job.tasks)}


def _outsiders(world: World, gpu: Gpu) -> Iterator[Row]:
    """The processes that belong to none of the jobs that hold the GPU."""
    ignored = {(one.pid, one.ticks) for one in world.records.all(Ignored)}
    holders = {job.id for job in world.ledger.on(gpu.uuid)}
    for process in gpu.processes:
        if process.job not in holders:
            outsider = _outsider(process, ignored=(process.pid, process.ticks) in ignored)
            yield {**outsider, "over": process.job not in world.placed}


def _outsider(process: Process, *, ignored: bool) -> Row:
    """What is not known is None; ``job`` is one that has other GPUs or is over, else 0."""
    return {
        "pid": process.pid,
        "uid": process.uid if process.uid >= 0 else None,
        "memory": process.memory if process.memory >= 0 else None,
        "since": process.since or None,
        "job": process.job,
        "ignored": ignored,
    }


def _reservations(world: World, gpu: Gpu, now: Now) -> list[list[Any]]:
    """Those that have the GPU, as (id, seconds until they begin, until they end)."""
    claims = reservations.claims(world, now).get(gpu.uuid, ())
    return [
        [claim.reservation, max(0.0, claim.start - now.boot), claim.end - now.boot]
        for claim in claims
    ]
