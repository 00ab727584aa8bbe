"""What a request means now: the events that follow from it and the answer, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mgpu.core import (
    administration,
    alter,
    closure,
    draining,
    holding,
    recurring,
    reports,
    requeue,
    serving,
    wishes,
)
from mgpu.core.orders import (
    CloseMachine,
    DrainGpus,
    HeedProcess,
    IgnoreProcess,
    Kept,
    OpenMachine,
    RemoveQuota,
    Reserve,
    RestrictGpus,
    ResumeGpus,
    SetQuota,
    Unreserve,
)
from mgpu.core.reports import Stale
from mgpu.core.requests import (
    Alter,
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptRunning,
    AttemptVanished,
    Cancel,
    ChangeRepeat,
    Hold,
    Rebooted,
    Release,
    Repeat,
    Report,
    Request,
    Requeue,
    SetDependency,
    SetPriority,
    Submit,
    Update,
)
from mgpu.core.wishes import Accepted, Outcomes
from mgpu.core.world import World
from mgpu.model.events import Event
from mgpu.model.time import Now

Reply = Accepted | Outcomes | Kept | Stale | None


class Decision(NamedTuple):
    """The events to commit and evolve, and the reply that is due after the commit."""

    events: list[Event]
    reply: Reply


def decide(world: World, request: Request, now: Now) -> Decision:
    """Judge one request; the world stays as it is. Raises MgpuError when it is refused."""
    wish = _WISHES.get(type(request))
    if wish is not None:
        return Decision(*wish(world, request, now))
    return _judge_report(world, request, now)


def _judge_report(world: World, report: Any, now: Now) -> Decision:
    job = reports.find(world, report)
    events = _REPORTS[type(report)](world, job, report, now) if job else []
    return Decision(events, None if events else reports.stale(world, report))


_WISHES: Mapping[type[Request], Callable[..., tuple[list[Event], Accepted | Outcomes | Kept]]] = {
    Submit: wishes.submit,
    Cancel: wishes.cancel,
    SetPriority: wishes.set_priority,
    Alter: alter.alter,
    Hold: holding.hold,
    Release: holding.release,
    Requeue: requeue.requeue,
    CloseMachine: closure.close,
    OpenMachine: closure.reopen,
    Repeat: recurring.repeat,
    ChangeRepeat: recurring.change,
    Update: wishes.update,
    SetDependency: wishes.set_dependency,
    Reserve: administration.reserve,
    Unreserve: administration.unreserve,
    SetQuota: administration.set_quota,
    RemoveQuota: administration.remove_quota,
    DrainGpus: draining.drain,
    ResumeGpus: draining.resume,
    RestrictGpus: serving.restrict,
    IgnoreProcess: serving.ignore,
    HeedProcess: serving.heed,
}

_REPORTS: Mapping[type[Report], Callable[..., list[Event]]] = {
    AttemptRunning: reports.running,
    AttemptEnded: reports.ended,
    AttemptRefused: reports.refused,
    AttemptLost: reports.lost,
    AttemptVanished: reports.vanished,
    Rebooted: reports.rebooted,
}
