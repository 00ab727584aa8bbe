"""How much of its time limit a run has used up: what some want to be told while it goes on."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from mgpu.core import tidings
from mgpu.core.deadline import seconds_left
from mgpu.core.policy import effective_limit
from mgpu.core.tidings import Tiding
from mgpu.core.world import World
from mgpu.model.job import Job, Running
from mgpu.model.notice import MILESTONES
from mgpu.model.time import Now

#: Job, attempt, event.
Mark = tuple[int, int, str]


def look(
    world: World, wanted: Collection[str], told: Collection[Mark], now: Now
) -> tuple[list[Tiding], set[Mark], float | None]:
    """What has been passed and is not ``told``, all that has been, and when the next one will be.

    ``wanted`` are events that somebody wants of all jobs; each job can want some of its own.
    """
    found: list[Tiding] = []
    passed: set[Mark] = set()
    later: list[float] = []
    for job in world.placed.values():
        for event, at in _moments(world, job, wanted):
            if at > now.boot:
                later.append(at)
                continue
            passed.add(mark := (job.id, job.attempt, event))
            if mark not in told:
                found.append(_tiding(world, job, event, now))
    return found, passed, min(later, default=None)


def _moments(world: World, job: Job, wanted: Collection[str]) -> Iterator[tuple[str, float]]:
    """The events that somebody wants of a job that runs, and when (boot time) they come."""
    notify = job.spec.notify
    if not isinstance(job.phase, Running) or not (wanted or notify):
        return
    asked = {*wanted, *(notify.events if notify is not None else ())}
    limit = _limit(world, job) if not asked.isdisjoint(MILESTONES) else 0
    if limit:
        for event in asked & MILESTONES.keys():
            yield event, job.phase.started.boot + MILESTONES[event] * limit


def _limit(world: World, job: Job) -> int:
    limit = effective_limit(job.spec, world.policy)
    started = job.phase.started.wall if isinstance(job.phase, Running) else 0.0
    return seconds_left(job, limit + job.extension if limit else 0, started)


def _tiding(world: World, job: Job, event: str, now: Now) -> Tiding:
    found = tidings.told(event, job, whole=not job.array)
    elapsed = now.boot - job.phase.started.boot if isinstance(job.phase, Running) else 0.0
    found.facts["job"] |= {"elapsed": round(elapsed, 3), "time_limit": _limit(world, job)}
    return found


def about(job: Job) -> str:
    """What notices of this run of a job are about."""
    return tidings.about(job, whole=False)
