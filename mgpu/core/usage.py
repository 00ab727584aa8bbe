"""What jobs use of their GPUs' memory: the most so far, and who uses more than they asked for.

Time is that of the looks at the GPUs: while the driver is silent nothing is held against a job.
What is seen of an attempt stays in memory; ``job.peaks`` is what is stored of it, always within
:data:`GROWTH` and :data:`STEP` of what was seen, and exact once the job has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mgpu.core.world import World
from mgpu.model.events import Event, Measured
from mgpu.model.gpu import Inventory
from mgpu.model.job import Job, Running, Stopping
from mgpu.model.time import Now

#: A peak is stored when it is larger by this part, and by so many MiB, than what is stored.
GROWTH: Final = 0.05
STEP: Final = 64

_KEY: Final = "usage"


@dataclass(slots=True)
class Use:
    """What is seen of an attempt: the most MiB of each GPU (UUID)."""

    attempt: int
    peaks: dict[str, int]


@dataclass(slots=True)
class _Book:
    """The attempts that were seen, by job, and the look at the GPUs that was the last one."""

    inventory: Inventory | None = None
    uses: dict[int, Use] = field(default_factory=dict)


def settle(world: World, now: Now) -> list[Event]:
    """What follows from the last look at the GPUs."""
    book = _book(world)
    if book.inventory is world.inventory:
        return []
    book.inventory = world.inventory
    book.uses = {job.id: _use(book, job) for job in world.placed.values() if job.gpus}
    for uuid, gpu in world.gpus.items():
        for number, memory in gpu.measured:
            if uuid in (use := book.uses.get(number, _NOBODY)).peaks:
                use.peaks[uuid] = max(use.peaks[uuid], memory)
    return [*_grown(world, book, now)]


def peaks(world: World, job: Job) -> tuple[tuple[str, int], ...]:
    """The most that the job's last attempt used of each GPU, where that is known."""
    use = _book(world).uses.get(job.id, _NOBODY)
    if use.attempt != job.attempt or not job.gpus:
        return job.peaks
    return tuple((uuid, peak) for uuid, peak in use.peaks.items() if peak)


def last(world: World, job: Job, now: Now) -> list[Event]:
    """What is to be stored of the use of a job that is about to end."""
    exact = peaks(world, job)
    return [Measured(now, job.id, job.attempt, exact)] if exact != job.peaks else []


def _book(world: World) -> _Book:
    book: _Book = world.derived.setdefault(_KEY, _Book())
    return book


def _use(book: _Book, job: Job) -> Use:
    known = book.uses.get(job.id, _NOBODY)
    if known.attempt == job.attempt:
        return known
    return Use(job.attempt, dict.fromkeys(job.gpus, 0) | dict(job.peaks))


def _grown(world: World, book: _Book, now: Now) -> Iterator[Event]:
    for number, use in book.uses.items():
        job = world.placed[number]
        stored = dict(job.peaks)
        if not isinstance(job.phase, Running | Stopping):
            continue
        if any(is_growth(stored.get(uuid, 0), peak) for uuid, peak in use.peaks.items()):
            yield Measured(now, number, job.attempt, peaks(world, job))


def is_growth(stored: int, seen: int) -> bool:
    """Whether what was seen is so much more than what is stored that it is stored anew."""
    return seen - stored >= max(STEP, stored * GROWTH)


_NOBODY: Final = Use(-1, {})
