"""Which GPUs serve jobs: what administrators order, and what follows from faults."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from mgpu.core.arrays import name_in
from mgpu.core.orders import (
    HeedProcess,
    IgnoreProcess,
    Judged,
    Kept,
    RestrictGpus,
)
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import Erased, Event, Recorded
from mgpu.model.gpu import Gpu, Process
from mgpu.model.records import Base, Drain, Excused, Ignored, Outsider, Record, Restriction
from mgpu.model.time import Now
from mgpu.model.units import quoted

#: What lifts a restriction.
ALL: Final = "all"
#: A GPU with so many processes may have others, which are not listed.
MOST_LISTED: Final = 32
_RANGE: Final = r"(?ai)(?:gpu)?(\d{1,4})(?:-(?:gpu)?(\d{1,4}))?"


# -- names of GPUs --------------------------------------------------------------------------------


def find(world: World, words: Iterable[str]) -> list[str]:
    """The UUIDs of ``0``, ``gpu0``, ``0-3`` and of a UUID or what only one begins with.

    A UUID may be that of the GPU that MIG instances are parts of, or of one that was drained and
    is gone. Each is there once, in the order in which they are named.
    """
    return list(dict.fromkeys(uuid for word in words for uuid in _found(world, word)))


def uuids_of(world: World, indices: Iterable[int], path: str) -> tuple[str, ...]:
    """The GPUs with these indices, which a later boot may give to others; ``path`` names them."""
    uuids = {gpu.index: gpu.uuid for gpu in world.gpus.values()}
    for index in indices:
        if index not in uuids:
            known = ", ".join(f"gpu{known}" for known in uuids) or "none"
            hint = f"there are: {known}; mgpu_info shows them"
            raise MgpuError("Refused", f"there is no gpu{index}", path=path, hint=hint)
    return tuple(uuids[index] for index in sorted(set(indices)))


def label(world: World, uuid: str) -> str:
    """``gpu0``; the UUID of what has no index."""
    gpu = world.gpus.get(uuid)
    return f"gpu{gpu.index}" if gpu is not None else uuid


def _found(world: World, word: str) -> list[str]:
    numbers = re.fullmatch(_RANGE, word)
    if numbers is not None:
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        by_index = {gpu.index: gpu.uuid for gpu in world.gpus.values()}
        missing = [index for index in range(first, last + 1) if index not in by_index]
        if missing or first > last:
            raise _unknown(world, f"gpu{missing[0]}" if missing else word)
        return [by_index[index] for index in range(first, last + 1)]
    return [_by_uuid(world, word)]


def _by_uuid(world: World, word: str) -> str:
    gpus, drains = world.gpus.values(), world.records.all(Drain)
    known = dict.fromkeys([*(g.uuid for g in gpus), *(g.card for g in gpus if g.card)])
    known |= dict.fromkeys(drain.uuid for drain in drains)
    matching = [uuid for uuid in known if word and uuid.lower().startswith(word.lower())]
    exact = [uuid for uuid in matching if len(uuid) == len(word)]
    if len(matching) > 1 and not exact:
        several = ", ".join(label(world, uuid) for uuid in matching)
        hint = "write more of it, or the index"
        raise MgpuError("BadRequest", f"{quoted(word)} begins {several}", path="gpus", hint=hint)
    if not matching:
        raise _unknown(world, word)
    return (exact or matching)[0]


def _unknown(world: World, word: str) -> MgpuError:
    there = ", ".join(label(world, uuid) for uuid in world.gpus) or "none"
    text = f"there is no GPU {quoted(word)}; there are {there}"
    return MgpuError("Unknown", text, path="gpus", hint="mgpu_info shows the GPUs")


def _kept(world: World, uuids: Iterable[str]) -> Kept:
    return Kept(",".join(label(world, uuid) for uuid in uuids))


# -- orders ---------------------------------------------------------------------------------------


def restrict(world: World, order: RestrictGpus, now: Now) -> Judged:
    """Start new jobs on these GPUs alone, whatever is configured, until it is lifted."""
    known = world.records.get(Restriction, "gpus")
    if order.gpus == (ALL,):
        lift = Erased(now, order.uid, Restriction.__name__, "gpus")
        return [lift] if known is not None else [], Kept(ALL)
    named = set(find(world, order.gpus))
    uuids = tuple(gpu.uuid for gpu in world.gpus.values() if {gpu.uuid, gpu.card} & named)
    if not uuids:
        raise _unknown(world, ",".join(order.gpus))
    return [Recorded(now, order.uid, Restriction(uuids, order.uid))], _kept(world, uuids)


def ignore(world: World, order: IgnoreProcess, now: Now) -> Judged:
    """Let a process outside mgpu not keep jobs off its GPUs."""
    there = [process for _, process in processes(world) if process.pid == order.pid]
    if not there:
        text = f"no GPU is used by a process {order.pid}"
        raise MgpuError("Unknown", text, path="pid", hint="mgpu_ctl gpu list shows those that do")
    process = there[0]
    if process.job:
        name = name_in(world, process.job)
        text = f"process {order.pid} belongs to job {name}"
        hint = f"mgpu_cancel {name} ends it"
        raise MgpuError("Refused", text, path="pid", hint=hint)
    record = Ignored(process.pid, process.ticks, order.uid)
    return [Recorded(now, order.uid, record)], Kept(record.key)


def heed(world: World, order: HeedProcess, now: Now) -> Judged:
    """Let a process count again."""
    known = world.records.get(Ignored, order.pid)
    if known is None:
        text = f"process {order.pid} is not ignored"
        raise MgpuError("Unknown", text, path="pid", hint="mgpu_ctl gpu list shows those that are")
    return [Erased(now, order.uid, Ignored.__name__, known.key)], Kept(known.key)


def processes(world: World) -> Iterator[tuple[Gpu, Process]]:
    """Each process that is seen on a GPU, by the GPU's index."""
    for gpu in world.gpus.values():
        for process in gpu.processes:
            yield gpu, process


# -- what follows ---------------------------------------------------------------------------------


def forget_orders(world: World) -> None:
    """No process lives on and a fault may be repaired: it is found again if it is not."""
    book = world.records
    kinds: tuple[type[Record], ...] = (Excused, Ignored, Outsider, Base)
    gone = [record for kind in kinds for record in book.all(kind)]
    gone += [drain for drain in book.all(Drain) if drain.fault]
    for record in gone:
        book.drop(type(record).__name__, record.key)
    ordered = [drain for drain in book.all(Drain) if drain.broken]
    for drain in ordered:
        book.put(replace(drain, broken=""))
    if gone or ordered:
        world.judge()


def settle(world: World, now: Now) -> Iterator[Event]:
    """Drain what reports a fault; forget orders about what is gone."""
    for gpu in world.inventory.gpus:
        yield from _judge_fault(world, gpu, now)
    yield from _forget_gone(world, now)


def next_look(world: World) -> float | None:
    """The boot time at which the GPUs are to be looked at for what is dirty then."""
    limit, taken = world.policy.cleaning_limit, world.inventory.taken
    times = (since + limit for since in world.traces.times())
    return min((at for at in times if at > taken), default=None)


def _judge_fault(world: World, gpu: Gpu, now: Now) -> Iterator[Event]:
    excused = world.records.get(Excused, gpu.uuid)
    if excused is not None and excused.fault != gpu.fault and (gpu.fault or gpu.available):
        yield Erased(now, 0, Excused.__name__, gpu.uuid)
    elif excused is not None:
        return
    known = world.records.get(Drain, gpu.uuid)
    if gpu.fault and known is None:
        yield Recorded(now, 0, Drain(gpu.uuid, gpu.fault, 0, now.wall, fault=True))
    elif gpu.fault and known is not None and not known.error:
        yield Recorded(now, 0, replace(known, broken=gpu.fault))


def _forget_gone(world: World, now: Now) -> Iterator[Event]:
    """Processes that have left every GPU. What is not seen now says nothing of them."""
    ignored, gpus = world.records.all(Ignored), world.inventory.gpus
    if not ignored or not gpus or not all(map(_shows_all, gpus)):
        return
    there = {(process.pid, process.ticks) for gpu in gpus for process in gpu.processes}
    for one in ignored:
        if (one.pid, one.ticks) not in there:
            yield Erased(now, 0, Ignored.__name__, one.key)


def _shows_all(gpu: Gpu) -> bool:
    return gpu.available and len(gpu.processes) < MOST_LISTED
