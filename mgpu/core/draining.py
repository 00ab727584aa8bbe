"""Draining GPUs and giving them out again: by order, for a fault, and what is dirty.

A GPU in MIG mode and its instances hang together: a drain of the card keeps them all from jobs,
also those that are made later, and resuming the card resumes them all.
"""

from __future__ import annotations

from collections.abc import Iterator

from mgpu.core.gates import hung, left
from mgpu.core.orders import DrainGpus, Judged, Kept, ResumeGpus
from mgpu.core.serving import find, label
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import Erased, Event, Recorded
from mgpu.model.gpu import DIRTY
from mgpu.model.records import Base, Drain, Excused
from mgpu.model.time import Now


def drain(world: World, order: DrainGpus, now: Now) -> Judged:
    """Start nothing new on GPUs; what runs goes on. A fault stays known beneath the order."""
    named = find(world, order.gpus)
    for uuid in named:
        _refuse_second(world, uuid)
    drains = [
        Drain(uuid, order.reason, order.uid, now.wall, broken=_fault(world, uuid)) for uuid in named
    ]
    return [Recorded(now, order.uid, one) for one in drains], _kept(world, named)


def resume(world: World, order: ResumeGpus, now: Now) -> Judged:
    """Lift orders first, then faults, then what is dirty: each is a thing to be sure of."""
    named = find(world, order.gpus)
    steps: dict[str, list[Event]] = {}
    for uuid in named:
        mine = {one: list(_lift(world, one, order.uid, now)) for one in _parts(world, uuid)}
        if not any(mine.values()) and _card(world, uuid) not in named:
            raise _not_to_be_resumed(world, uuid)
        steps |= mine
    notes = [text for uuid in steps for text in _still(world, uuid, named)]
    return [event for events in steps.values() for event in events], _kept(world, named, notes)


def _kept(world: World, named: list[str], notes: list[str] | None = None) -> Kept:
    parts = dict.fromkeys(part for uuid in named for part in _parts(world, uuid)[1:] or [uuid])
    return Kept(",".join(label(world, uuid) for uuid in parts), "\n".join(notes or []))


def _card(world: World, uuid: str) -> str:
    """The GPU in MIG mode that an instance is a part of, else nothing."""
    gpu = world.gpus.get(uuid)
    return gpu.card if gpu is not None else ""


def _parts(world: World, uuid: str) -> list[str]:
    """A GPU, or a card and all its instances."""
    return [uuid, *(gpu.uuid for gpu in world.gpus.values() if gpu.card == uuid)]


def _of(world: World, uuid: str) -> Drain | None:
    return world.records.get(Drain, uuid) if uuid else None


def _fault(world: World, uuid: str) -> str:
    """The fault for which it is drained."""
    known = _of(world, uuid)
    return known.reason if known is not None and known.fault else ""


def _refuse_second(world: World, uuid: str) -> None:
    for one, how in ((uuid, ""), (_card(world, uuid), " with its card")):
        known = _of(world, one)
        if known is not None and not known.fault:
            lift = f"mgpu_ctl resume {label(world, one)}"
            hint = f"to give another reason: {lift}, then drain it again"
            text = f"{label(world, uuid)} is drained already{how}: {known.reason}"
            raise MgpuError("Refused", text, path="gpus", hint=hint)


def _lift(world: World, uuid: str, uid: int, now: Now) -> Iterator[Event]:
    """What is done about one GPU or card: one thing at a time."""
    known, gpu = _of(world, uuid), world.gpus.get(uuid)
    if known is not None and known.broken:
        yield Recorded(now, uid, Drain(uuid, known.broken, 0, now.wall, fault=True))
    elif known is not None and not (known.fault and _above(world, uuid)):
        yield Erased(now, uid, Drain.__name__, uuid)
        if known.fault and gpu is not None and gpu.fault:
            yield Recorded(now, uid, Excused(uuid, gpu.fault))
    elif known is None and gpu is not None and gpu.state == DIRTY:
        yield _taken_as_base(world, uuid, uid, now)


def _above(world: World, uuid: str) -> Drain | None:
    return _of(world, _card(world, uuid))


def _taken_as_base(world: World, uuid: str, uid: int, now: Now) -> Event:
    """What is in use now is so when nobody is there; processes are none of it."""
    gpu, trace = world.gpus[uuid], world.traces.of(uuid)
    if (trace is not None and trace.pids) or hung(uuid, world.ledger, world.stuck):
        text = f"{label(world, uuid)} is {gpu.note}"
        hint = "it is given out by itself once they are gone"
        raise MgpuError("Refused", text, path="gpus", hint=hint)
    return Recorded(now, uid, Base(uuid, gpu.used, uid))


def _not_to_be_resumed(world: World, uuid: str) -> MgpuError:
    name, above = label(world, uuid), _above(world, uuid)
    if above is None:
        text, hint = f"{name} is not drained", "mgpu_ctl show-gpus says why a GPU is not used"
    else:
        text = f"{name} is drained with its card: {above.reason}"
        hint = f"mgpu_ctl resume {above.uuid} resumes all instances of the card"
    return MgpuError("Refused", text, path="gpus", hint=hint)


def _still(world: World, uuid: str, named: list[str]) -> Iterator[str]:
    """What keeps jobs off it though an order about it was lifted."""
    known, above, name = _of(world, uuid), _above(world, uuid), label(world, uuid)
    fault = known and (known.broken or (_fault(world, uuid) if above else ""))
    if fault:
        yield f"{name} is still drained for its fault: {fault}; once repaired, resume it again"
    elif above is not None and above.uuid not in named:
        yield f"{name} is still drained with its card: {above.reason}"
    elif known is not None and (text := dirt(world, uuid)):
        yield f"{name} is still dirty: {text}"


def dirt(world: World, uuid: str) -> str:
    """What keeps a GPU from being clean for too long already, else nothing."""
    if why := hung(uuid, world.ledger, world.stuck):
        return why
    gpu, trace = world.gpus.get(uuid), world.traces.of(uuid)
    taken = world.traces.taken
    if gpu is None or trace is None or taken - trace.since <= world.policy.cleaning_limit:
        return ""
    return left(gpu, trace, taken)
