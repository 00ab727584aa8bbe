"""Events of jobs as sentences, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mgpu.core.machine import counted
from mgpu.core.world import World
from mgpu.model import events as ev
from mgpu.model import states
from mgpu.model.units import format_duration, format_memory

#: Why a run was followed by another, by its state.
_OVER = {states.TIMEOUT: "time limit", states.NODE_FAIL: "the machine went down"}


def said(world: World, event: ev.Event) -> str:
    """What ``event`` says beyond its name, attempt and who did it; empty if nothing."""
    say = _SAYINGS.get(type(event))
    return say(world, event) if say is not None else ""


def how_over(events: Iterable[ev.Event], attempt: int) -> str:
    """Why this attempt of a job, which goes on, is over; empty where ``events`` do not tell."""
    told = (_why_over(event) for event in events if getattr(event, "attempt", 0) == attempt)
    return next(filter(None, told), "")


def _why_over(event: ev.Event) -> str:
    match event:
        case ev.Evicted():
            return event.detail
        case ev.Preempted():
            return f"switched out {_preempted_for(event)}"
        case ev.Retried():
            return _end(event.code, event.signal)
        case ev.Requeued(state=state):
            return _OVER.get(state, "")
    return ""


def _gpus(world: World, uuids: Iterable[str]) -> str:
    names = [f"gpu{world.gpus[uuid].index}" if uuid in world.gpus else uuid for uuid in uuids]
    return ", ".join(names)


def _submitted(_world: World, event: ev.Submitted) -> str:
    tasks = f"tasks {event.tasks}" if event.tasks is not None else ""
    many = f"{event.count} jobs from {event.job}" if event.count > 1 else ""
    needs = f"after {event.needs}" if event.needs else ""
    held = "held" if event.held else ""
    return ", ".join(filter(None, (tasks, many, f"priority {event.priority}", held, needs)))


def _started(world: World, event: ev.Started) -> str:
    return f"on {_gpus(world, event.gpus)}" if event.gpus else "without GPUs"


def _end(code: int | None, signal: int | None) -> str:
    if signal is not None:
        return f"signal {signal}"
    return "" if code is None else f"exit code {code}"


def _finished(_world: World, event: ev.Finished) -> str:
    how = _end(event.code, event.signal)
    return ": ".join(filter(None, (event.state, how, event.detail)))


def _preempted_for(event: ev.Preempted) -> str:
    return f"for reservation {-event.by}" if event.by < 0 else f"for job {event.by}"


def _altered(_world: World, event: ev.Altered) -> str:
    limit = format_duration(event.time_limit) if event.time_limit else "the machine's"
    told = [f"time limit {limit}", f"class {event.qos}" if event.qos else ""]
    if event.sizes is not None:
        gpus, gpu_mem, host_mem = event.sizes
        each = f" with {format_memory(gpu_mem)} each" if gpu_mem is not None else " for itself"
        told.append(counted(gpus) + (each if gpus else ""))
        told.append(f"{format_memory(host_mem)} of the machine" if host_mem else "")
    return ", ".join(filter(None, told))


def _measured(world: World, event: ev.Measured) -> str:
    return ", ".join(f"{_gpus(world, [uuid])} {format_memory(mib)}" for uuid, mib in event.peaks)


_SAYINGS: dict[type, Callable[[World, Any], str]] = {
    ev.Submitted: _submitted,
    ev.Started: _started,
    ev.Launched: lambda _, event: f"process {event.pid}" if event.pid else "",
    ev.Deferred: lambda _, event: ": ".join(filter(None, (event.reason, event.detail))),
    ev.Requeued: lambda _, event: event.state,
    ev.Finished: _finished,
    ev.PriorityChanged: lambda _, event: f"to {event.priority}",
    ev.Altered: _altered,
    ev.Split: lambda _, event: f"tasks {event.tasks} go on as record {event.child}",
    ev.Held: lambda _, event: f"by its {event.held}" if event.held == "user" else "by the admin",
    ev.DependencyChanged: lambda _, event: f"waits for {event.needs or 'nothing'}",
    ev.Refused: lambda _, event: ": ".join(filter(None, (event.reason, event.detail))),
    ev.Preempted: lambda _, event: _preempted_for(event),
    ev.Retried: lambda _, event: _end(event.code, event.signal),
    ev.Extended: lambda _, event: f"by {format_duration(event.extension)}",
    ev.Evicted: lambda _, event: f"{event.cause}: {event.detail}",
    ev.Measured: _measured,
    ev.Noted: lambda _, event: event.text,
}
