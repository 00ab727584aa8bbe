"""What has to be done outside so that the machine matches the world. Idempotent.

The answer depends only on the world and on what is seen of the attempts, so recovery is to load
the world, look, and ask again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from mgpu.core.deadline import seconds_left
from mgpu.core.policy import effective_limit
from mgpu.core.world import World
from mgpu.model.job import Job, Running, Starting, Stopping

#: What the daemon knows of an attempt. Not in the map: there is nothing of it, as far as seen.
ORDERED: Final = "ordered"  # its launch was sent to the launcher
LIVE: Final = "live"  # its supervisor answers
STOPPING: Final = "stopping"  # its end was ordered
#: Seconds that no run lasts.
NO_LIMIT: Final = 10 * 365 * 86400
OVER: Final = "over"  # its end was reported; its supervisor or its record waits for the ack

Attempt = tuple[int, int]
Observed = Mapping[Attempt, str]


class Launch(NamedTuple):
    """Have the attempt's supervisor started."""

    job: int
    attempt: int


class Stop(NamedTuple):
    """Have its supervisor end the attempt, by force after ``grace`` seconds.

    ``warn``: the signal that the job asked for before its limit comes first.
    """

    job: int
    attempt: int
    grace: int
    warn: bool = False


class Extend(NamedTuple):
    """Let the attempt run ``seconds`` from its start in all."""

    job: int
    attempt: int
    seconds: int


class Kill(NamedTuple):
    """Kill what may be left of an attempt that has no supervisor or may not exist."""

    job: int
    attempt: int


class Acknowledge(NamedTuple):
    """Tell its supervisor that the end is durable, or remove its record."""

    job: int
    attempt: int


class KillProcess(NamedTuple):
    """Have the launcher kill a process of ``uid`` that began at ``ticks``, if it is still that one.

    ``why`` is ``outsider`` or ``leftover``; ``job`` is the job that left it, else 0.
    """

    pid: int
    ticks: int
    uid: int
    why: str
    job: int = 0


Effect = Launch | Stop | Extend | Kill | Acknowledge | KillProcess


def required_effects(
    world: World, observed: Observed, limits: Mapping[Attempt, int] | None = None
) -> list[Effect]:
    """Every effect that the world asks for and that has not been ordered yet.

    ``limits`` are the seconds that were granted to attempts beyond their order's.
    """
    wanted = {(job.id, job.attempt) for job in world.placed.values()}
    return [*_for_placed(world, observed, limits or {}), *_for_strays(wanted, observed)]


def _for_placed(
    world: World, observed: Observed, limits: Mapping[Attempt, int]
) -> Iterator[Effect]:
    for job in world.placed.values():
        attempt = (job.id, job.attempt)
        effect = _for_job(world, job, observed.get(attempt), limits.get(attempt, 0))
        if effect is not None:
            yield effect


def _for_job(world: World, job: Job, seen: str | None, granted: int) -> Effect | None:
    if seen is None:
        return _launch_or_kill(world, job)
    if seen not in (ORDERED, LIVE):
        return None
    phase = job.phase
    if isinstance(phase, Stopping):
        return Stop(job.id, job.attempt, world.policy.grace, phase.goes_on)
    if seen == LIVE and (job.extension or granted or job.altered) and isinstance(phase, Running):
        limit = effective_limit(job.spec, world.policy) + job.extension
        seconds = seconds_left(job, limit, phase.started.wall) or NO_LIMIT
        return Extend(job.id, job.attempt, seconds) if seconds != granted else None
    return None


def _launch_or_kill(world: World, job: Job) -> Effect:
    """One that is to start on a GPU that is gone by now is not started: it waits again."""
    starting = isinstance(job.phase, Starting) and world.gpus.keys() >= set(job.gpus)
    return Launch(job.id, job.attempt) if starting else Kill(job.id, job.attempt)


def _for_strays(wanted: set[Attempt], observed: Observed) -> Iterator[Effect]:
    for attempt, seen in observed.items():
        if attempt in wanted or seen == STOPPING:
            continue
        yield Acknowledge(*attempt) if seen == OVER else Kill(*attempt)
