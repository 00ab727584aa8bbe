"""Jobs that hold GPUs and do nothing with them.

A GPU's utilization is that of all its jobs together. Of a GPU that does not tell, as of a part of
a card (MIG), nothing is held against a job. Time is that of the looks at the GPUs; what was seen
is held in memory, so a restart of the scheduler begins to count anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mgpu.core.reports import may_requeue
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import Event, Evicted
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.job import Job, Running, Starting
from mgpu.model.time import Now
from mgpu.model.units import format_duration

_KEY: Final = "idleness"


@dataclass(slots=True)
class _Book:
    """When each attempt (job, number) was last seen busy, or first seen (boot time)."""

    inventory: Inventory | None = None
    busy: dict[tuple[int, int], float] = field(default_factory=dict)


def settle(world: World, now: Now) -> Iterator[Event]:
    """Take over the last look at the GPUs; put back who was idle for too long, where that is so."""
    book = _book(world)
    if book.inventory is world.inventory:
        return
    book.inventory = world.inventory
    busy = {}
    gpus = {gpu.uuid: gpu for gpu in world.inventory.gpus}
    for job in world.placed.values():
        if isinstance(job.phase, Starting | Running) and job.gpus:
            attempt, taken = (job.id, job.attempt), world.inventory.taken
            idle = all(_is_idle(world, gpus.get(uuid)) for uuid in job.gpus)
            before = book.busy.get(attempt, taken)
            busy[attempt] = before if idle and isinstance(job.phase, Running) else taken
    book.busy = busy
    if world.policy.idle_policy == "requeue":
        yield from _evicted(world, now)


def next_look(world: World) -> float | None:
    """The boot time at which the GPUs are to be looked at for who is idle for too long then."""
    after, taken = world.policy.idle_after, world.inventory.taken
    if not after:
        return None
    times = (since + after for since in _book(world).busy.values())
    return min((at for at in times if at > taken), default=None)


def note(world: World, job: Job) -> str:
    """What the owner of a job that is idle for too long is to know, always the same."""
    told = format_duration(world.policy.idle_after)
    return f"its GPUs idle for more than {told}" if _idle_for(world, job) else ""


def shown(world: World, job: Job) -> str:
    """As :func:`note`, with the time."""
    idle = _idle_for(world, job)
    return f"its GPUs idle for {format_duration(idle)}" if idle else ""


def _book(world: World) -> _Book:
    book: _Book = world.derived.setdefault(_KEY, _Book())
    return book


def _is_idle(world: World, gpu: Gpu | None) -> bool:
    if gpu is None or not gpu.available:
        return False
    return 0 <= gpu.reading.utilization < world.policy.idle_below


def _idle_for(world: World, job: Job) -> float:
    """Seconds for which all GPUs of a job were seen idle; 0 while that is not too long."""
    taken, after = world.inventory.taken, world.policy.idle_after
    idle = taken - _book(world).busy.get((job.id, job.attempt), taken)
    return idle if after and idle >= after else 0.0


def _evicted(world: World, now: Now) -> Iterator[Event]:
    for job in world.placed.values():
        if isinstance(job.phase, Running) and shown(world, job) and may_requeue(world, job):
            yield Evicted(now, job.id, job.attempt, states.IDLE, shown(world, job))
