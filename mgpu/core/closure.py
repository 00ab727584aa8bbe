"""Draining the whole machine: no job is started, what runs goes on; perhaps until mgpud ends."""

from __future__ import annotations

from mgpu.core.orders import CloseMachine, Judged, Kept, OpenMachine
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import CancelRequested, Erased, Event, Recorded
from mgpu.model.job import Job, Stopping
from mgpu.model.records import Closure
from mgpu.model.time import Now


def of(world: World) -> Closure | None:
    """The order that keeps every job from starting, if there is one."""
    return world.records.get(Closure, Closure.key)


def told(closure: Closure) -> str:
    """What it means to a job that waits."""
    what = "mgpu is about to stop" if closure.stop else "the machine is drained"
    return f"{what}: {closure.reason}" if closure.reason else what


def close(world: World, order: CloseMachine, now: Now) -> Judged:
    """Start no job any more. One order may replace another, so a drain can become a stop."""
    known = of(world)
    if known is not None and not order.stop:
        hint = "mgpu_ctl resume lets jobs start again"
        raise MgpuError("Refused", f"{told(known)} already", hint=hint)
    closure = Closure(order.reason, order.uid, now.wall, order.stop)
    events: list[Event] = [Recorded(now, order.uid, closure)]
    if order.cancel:
        events += [CancelRequested(now, job.id, order.uid) for job in _running(world)]
    return events, Kept(Closure.key)


def reopen(world: World, order: OpenMachine, now: Now) -> Judged:
    """Start jobs again."""
    if of(world) is None:
        hint = "mgpu_ctl show-gpus tells of drained GPUs"
        raise MgpuError("Refused", "the machine is not drained", hint=hint)
    return [Erased(now, order.uid, Closure.__name__, Closure.key)], Kept(Closure.key)


def _running(world: World) -> list[Job]:
    """The jobs to end; what is ending for good already is left out."""
    placed = world.placed.values()
    return [j for j in placed if not isinstance(j.phase, Stopping) or j.phase.goes_on]
