"""What jobs use of their GPUs' memory: the most so far, and who uses more than they asked for.

Time is that of the looks at the GPUs: while the driver is silent nothing is held against a job.
What is seen of an attempt stays in memory; ``job.peaks`` is what is stored of it: less than a
:data:`STEP` or :data:`GROWTH` behind what was seen, and exact once the job has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import Event, Evicted, Measured
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.job import Job, Running, Stopping
from mgpu.model.time import Now

#: A figure is told anew when it is larger by this part, and by so many MiB, than what was told.
GROWTH: Final = 0.05
STEP: Final = 64

_KEY: Final = "usage"


class Excess(NamedTuple):
    """More than was asked for, seen ``since`` (boot time): of ``used`` MiB the owner is told."""

    since: float
    used: int


@dataclass(slots=True)
class Use:
    """What is seen of an attempt: the most MiB of each GPU, and where it is too much, by UUID."""

    attempt: int
    peaks: dict[str, int]
    over: dict[str, Excess] = field(default_factory=dict)


@dataclass(slots=True)
class _Book:
    """The attempts that were seen, by job, and the look at the GPUs that was the last one."""

    inventory: Inventory | None = None
    uses: dict[int, Use] = field(default_factory=dict)


_NOBODY: Final = Use(-1, {})


def settle(world: World, now: Now) -> list[Event]:
    """What follows from the last look at the GPUs."""
    book = _book(world)
    if book.inventory is world.inventory:
        return []
    book.inventory = world.inventory
    book.uses = {job.id: _use(book, job) for job in world.placed.values() if job.gpus}
    before = {number: use.over for number, use in book.uses.items()}
    for use in book.uses.values():
        use.over = {}  # what is not seen now is not held against anybody
    for gpu in world.inventory.gpus:
        if gpu.available:
            _look(world, gpu, book.uses, before)
    seen = [(world.placed[number], use) for number, use in book.uses.items()]
    return [*_grown(world, seen, now), *_evicted(world, seen, now)]


def next_look(world: World) -> float | None:
    """The boot time at which the GPUs are to be looked at for who uses too much for too long."""
    grace, taken = world.policy.over_memory_grace, world.inventory.taken
    uses = _book(world).uses.values()
    times = (excess.since + grace for use in uses for excess in use.over.values())
    return min((at for at in times if at > taken), default=None)


def peaks(world: World, job: Job) -> tuple[tuple[str, int], ...]:
    """The most that the job's last attempt used of each GPU, where that is known."""
    use = _use_of(world, job)
    return tuple((u, peak) for u, peak in use.peaks.items() if peak) if use else job.peaks


def last(world: World, job: Job, now: Now) -> list[Event]:
    """What is to be stored of the use of a job that is about to end."""
    exact = peaks(world, job)
    return [Measured(now, job.id, job.attempt, exact)] if exact != job.peaks else []


def note(world: World, job: Job) -> str:
    """What its owner is to know of a job that has used more than it asked for, for too long."""
    use = _use_of(world, job)
    texts = [
        f"{excess.used} MiB of gpu{world.gpus[uuid].index}"
        for uuid, excess in (use.over.items() if use else ())
        if uuid in world.gpus and _is_long(world, excess)
    ]
    return f"uses {', '.join(texts)}, asked for {job.spec.gpu_mem}" if texts else ""


def _book(world: World) -> _Book:
    book: _Book = world.derived.setdefault(_KEY, _Book())
    return book


def _use(book: _Book, job: Job) -> Use:
    known = book.uses.get(job.id, _NOBODY)
    if known.attempt == job.attempt:
        return known
    return Use(job.attempt, dict.fromkeys(job.gpus, 0) | dict(job.peaks))


def _use_of(world: World, job: Job) -> Use | None:
    """What is known of the attempt that is under way, if there is one."""
    use = _book(world).uses.get(job.id, _NOBODY)
    return use if use.attempt == job.attempt and job.gpus else None


def _look(
    world: World, gpu: Gpu, uses: dict[int, Use], before: dict[int, dict[str, Excess]]
) -> None:
    """Take over what jobs use of one GPU; ``before`` is what each used too much of, and where."""
    measured = dict(gpu.measured)
    for job in world.ledger.on(gpu.uuid):
        use, used = uses[job.id], measured.get(job.id, 0)
        use.peaks[gpu.uuid] = max(use.peaks[gpu.uuid], used)
        if job.spec.shares and used > (job.spec.gpu_mem or 0) + world.policy.over_memory_margin:
            known = before[job.id].get(gpu.uuid, Excess(world.inventory.taken, used))
            told = used if _is_growth(known.used, used) else known.used
            use.over[gpu.uuid] = Excess(known.since, told)


def _is_long(world: World, excess: Excess) -> bool:
    return world.inventory.taken - excess.since >= world.policy.over_memory_grace


def _grown(world: World, seen: Iterable[tuple[Job, Use]], now: Now) -> Iterator[Event]:
    for job, use in seen:
        stored = dict(job.peaks)
        known = isinstance(job.phase, Running | Stopping)
        if known and any(_is_growth(stored.get(u, 0), peak) for u, peak in use.peaks.items()):
            yield Measured(now, job.id, job.attempt, peaks(world, job))


def _evicted(world: World, seen: Iterable[tuple[Job, Use]], now: Now) -> Iterator[Event]:
    if world.policy.over_memory != "kill":
        return
    for job, _ in seen:
        text = note(world, job) if isinstance(job.phase, Running) else ""
        if text:
            yield Evicted(now, job.id, job.attempt, states.MEMORY, text)


def _is_growth(told: int, seen: int) -> bool:
    return seen - told >= max(STEP, told * GROWTH)
