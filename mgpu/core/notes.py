"""What the owners of running jobs are to know: ``job.note``, made of what several modules say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mgpu.core import idleness, silence, usage
from mgpu.core.gates import hangs
from mgpu.core.world import World
from mgpu.model.events import Event, Noted
from mgpu.model.job import Job, Running
from mgpu.model.records import Drain
from mgpu.model.time import Now

_KEY: Final = "notes"


def settle(world: World, now: Now) -> Iterator[Event]:
    """The notes that have come, changed or gone with the last look at the GPUs."""
    if world.derived.get(_KEY) is world.inventory:
        return
    world.derived[_KEY] = world.inventory
    silence.look(world, now)
    for job in world.placed.values():
        if isinstance(job.phase, Running) and (text := _stored(world, job)) != job.note:
            yield Noted(now, job.id, job.attempt, text)


def shown(world: World, job: Job) -> str:
    """The note of a job with the figures of this moment."""
    running = isinstance(job.phase, Running) and job.note == _stored(world, job)
    noted = _joined(world, job, idleness.shown(world, job)) if running else job.note
    return "; ".join(filter(None, (hangs(world.stuck.get(job.id, ())), noted)))


def _stored(world: World, job: Job) -> str:
    """Without what changes all the time."""
    return _joined(world, job, idleness.note(world, job))


def _joined(world: World, job: Job, idle: str) -> str:
    gpus = (*_faults(world, job), *_silent(world, job), *_strays(world, job))
    texts = [*gpus, usage.note(world, job), idle]
    return "; ".join(filter(None, texts))


def _faults(world: World, job: Job) -> Iterator[str]:
    for uuid in job.gpus:
        gpu = world.gpus.get(uuid)
        drain = world.records.get(Drain, uuid)
        fault = drain and drain.error
        if gpu is not None and fault:
            yield f"gpu{gpu.index} reported {fault}: the GPU is drained"


def _silent(world: World, job: Job) -> Iterator[str]:
    silent = silence.silent(world)
    for uuid in job.gpus:
        gpu = world.gpus.get(uuid)
        if uuid in silent and gpu is not None:
            yield f"gpu{gpu.index} does not answer" + f": {gpu.note}" * bool(gpu.note)
        elif uuid in silent:
            yield f"{uuid}, which it was given, is gone"


def _strays(world: World, job: Job) -> Iterator[str]:
    """The GPUs that a job uses and was not given, where such is looked for."""
    if world.policy.isolation == "variables":
        return
    for uuid in _used_by_jobs(world).get(job.id, ()):
        if uuid not in job.gpus:
            yield f"uses gpu{world.gpus[uuid].index}, which it was not given"


def _used_by_jobs(world: World) -> dict[int, list[str]]:
    """The GPUs that each job was seen to use at the last look; made once for each."""
    known: Any = world.derived.get("used by jobs")
    if known is None or known[0] is not world.inventory:
        found: dict[int, list[str]] = {}
        for gpu in world.gpus.values():
            for number in {n for n, _ in gpu.measured} | {one.job for one in gpu.processes}:
                found.setdefault(number, []).append(gpu.uuid)
        known = world.derived["used by jobs"] = (world.inventory, found)
    return known[1]  # type: ignore[no-any-return]
