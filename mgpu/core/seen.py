"""What running jobs make of their GPUs, as means over time, for the history.

What a look at the GPUs shows is taken to hold until the next look, or until the end. A time in
which the driver is silent does not count. The sums are held in memory and stored every
:data:`STORED_EVERY` seconds, those of all jobs at once, so that a restart of the scheduler loses
little of them. They are no events: nobody asks how they came to be what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from mgpu.core.world import World
from mgpu.model.events import Event
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.job import Job, Running, Stopping
from mgpu.model.records import Seen
from mgpu.model.time import Now

STORED_EVERY: Final = 120.0
_KEY: Final = "seen"


class Look(NamedTuple):
    """What one look showed of a job: mean MiB and percent (-1: not told) of its GPUs."""

    at: float
    memory: float
    busy: float
    idle: bool


@dataclass(slots=True)
class _Book:
    """The sums and the last look of each running job, by its id."""

    inventory: Inventory | None = None
    sums: dict[int, Seen] = field(default_factory=dict)
    last: dict[int, Look] = field(default_factory=dict)


def settle(world: World, _now: Now) -> tuple[Event, ...]:
    """Take over the last look at the GPUs; store what has been seen for long. No event follows."""
    book = _book(world)
    if book.inventory is world.inventory:
        return ()
    book.inventory, taken = world.inventory, world.inventory.taken
    gpus = {gpu.uuid: gpu for gpu in world.inventory.gpus if gpu.available}
    sums, last = {}, {}
    for job in world.placed.values():
        if isinstance(job.phase, Running | Stopping) and job.gpus:
            sums[job.id] = total(world, job, taken)
            if set(job.gpus) <= gpus.keys():
                last[job.id] = _look(world, job, [gpus[uuid] for uuid in job.gpus])
    book.sums, book.last = sums, last
    new = {seen: _unstored(world, seen) for seen in sums.values()}
    if max(new.values(), default=0.0) >= STORED_EVERY:
        for seen in filter(new.__getitem__, new):
            world.records.put(seen)
    return ()


def _unstored(world: World, seen: Seen) -> float:
    """The seconds of it that a restart would lose."""
    stored = world.records.get(Seen, seen.job)
    known = stored.seconds if stored and stored.attempt == seen.attempt else 0.0
    return seen.seconds - known


def total(world: World, job: Job, at: float) -> Seen:
    """What was seen of the job's present attempt up to ``at`` (boot time)."""
    book = _book(world)
    seen = book.sums.get(job.id) or world.records.get(Seen, job.id)
    if seen is None or seen.attempt != job.attempt:
        return Seen(job.id, job.attempt)
    look = book.last.get(job.id)
    return seen if look is None else _added(seen, look, max(0.0, at - look.at))


def _added(seen: Seen, look: Look, seconds: float) -> Seen:
    told = seconds if look.busy >= 0 else 0.0
    return replace(
        seen,
        seconds=seen.seconds + seconds,
        memory=seen.memory + seconds * look.memory,
        told=seen.told + told,
        busy=seen.busy + told * look.busy,
        idle=seen.idle + (seconds if look.idle else 0.0),
    )


def _look(world: World, job: Job, gpus: list[Gpu]) -> Look:
    loads = [gpu.reading.utilization for gpu in gpus]
    busy = sum(loads) / len(loads) if min(loads) >= 0 else -1.0
    memory = sum(dict(gpu.measured).get(job.id, 0) for gpu in gpus) / len(gpus)
    idle = min(loads) >= 0 and max(loads) < world.policy.idle_below
    return Look(world.inventory.taken, memory, busy, idle)


def _book(world: World) -> _Book:
    book: _Book = world.derived.setdefault(_KEY, _Book())
    return book
