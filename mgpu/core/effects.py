"""What has to be done outside so that the machine matches the world. Idempotent.

The answer depends only on the world and on what is seen of the attempts, so recovery is to load
the world, look, and ask again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from mgpu.core.world import World
from mgpu.model.job import Job, Running, Starting

#: What the daemon knows of an attempt. Not in the map: there is nothing of it, as far as seen.
ORDERED: Final = "ordered"  # its launch was sent to the launcher
LIVE: Final = "live"  # its supervisor answers
STOPPING: Final = "stopping"  # its end was ordered
OVER: Final = "over"  # its end was reported; its supervisor or its record waits for the ack

Attempt = tuple[int, int]
Observed = Mapping[Attempt, str]


class Launch(NamedTuple):
    """Have the attempt's supervisor started."""

    job: int
    attempt: int


class Stop(NamedTuple):
    """Have its supervisor end the attempt, by force after ``grace`` seconds."""

    job: int
    attempt: int
    grace: int


class Kill(NamedTuple):
    """Kill what may be left of an attempt that has no supervisor or may not exist."""

    job: int
    attempt: int


class Acknowledge(NamedTuple):
    """Tell its supervisor that the end is durable, or remove its record."""

    job: int
    attempt: int


Effect = Launch | Stop | Kill | Acknowledge


def required_effects(world: World, observed: Observed) -> list[Effect]:
    """Every effect that the world asks for and that has not been ordered yet."""
    wanted = {(job.id, job.attempt) for job in world.placed.values()}
    return [*_for_placed(world, observed), *_for_strays(wanted, observed)]


def _for_placed(world: World, observed: Observed) -> Iterator[Effect]:
    for job in world.placed.values():
        effect = _for_job(job, observed.get((job.id, job.attempt)), world.policy.grace)
        if effect is not None:
            yield effect


def _for_job(job: Job, seen: str | None, grace: int) -> Effect | None:
    if seen is None:
        return _launch_or_kill(job)
    if seen in (ORDERED, LIVE) and not isinstance(job.phase, Starting | Running):
        return Stop(job.id, job.attempt, grace)
    return None


def _launch_or_kill(job: Job) -> Effect:
    starting = isinstance(job.phase, Starting)
    return Launch(job.id, job.attempt) if starting else Kill(job.id, job.attempt)


def _for_strays(wanted: set[Attempt], observed: Observed) -> Iterator[Effect]:
    for attempt, seen in observed.items():
        if attempt in wanted or seen == STOPPING:
            continue
        yield Acknowledge(*attempt) if seen == OVER else Kill(*attempt)
