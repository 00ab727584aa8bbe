"""All that there is to say about a waiting job, in sentences: the scheduler's own answer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mgpu.core.explain import leaving_for, reason_of
from mgpu.core.forecast import Expected, forecast
from mgpu.core.order import Factors, Scorer
from mgpu.core.outlook import Reservation
from mgpu.core.schedule import outlook
from mgpu.core.world import World
from mgpu.model.job import Job, Pending
from mgpu.model.states import Reason
from mgpu.model.time import Now
from mgpu.model.units import format_duration


def why(
    world: World, job: Job, now: Now, starts: Mapping[int, Expected] | None = None
) -> list[str]:
    """Sentences about a job, the most important first; durations from now on.

    ``starts`` is a forecast that takes in the job, where there is one already.
    """
    if not isinstance(job.phase, Pending):
        return [f"It does not wait: it is {job.state}."]
    reason, detail = reason_of(world, job, now)
    lines = [f"{reason}: {detail}." if detail else f"{reason}."]
    if reason in _APART:
        return lines
    held = outlook(world, now).reservation
    lines += [_reserved(held, job, now)] if held is not None else []
    lines += _leaving(world, job)
    lines.append(_ranked(factors(world, job, now)))
    starts = forecast(world, now, (job.id,)) if starts is None else starts
    lines.append(_starts(starts.get(job.id), now))
    return lines


def factors(world: World, job: Job, now: Now) -> Factors:
    """What the rank of a job is made of."""
    return Scorer(world, now).factors(job)


#: With these reasons a job is not in line.
_APART = frozenset(
    {
        *(Reason.HELD_USER, Reason.HELD_ADMIN, Reason.DEPENDENCY, Reason.NEVER_SATISFIED),
        *(Reason.BEGIN_TIME, Reason.INVALID_ACCOUNT, Reason.GPU_NOT_AVAILABLE),
    }
)


def _reserved(held: Reservation, job: Job, now: Now) -> str:
    gpus = ", ".join(f"gpu{index}" for index in held.gpus) or "its place"
    if held.at == math.inf:
        when = f"when job {held.after} ends, which has no time limit"
    else:
        when = f"in {format_duration(max(0.0, held.at - now.boot))} at the latest"
    if held.job is job:
        return f"It is the first in line and gets {gpus} {when}."
    return f"Job {held.job.id} is the first in line and gets {gpus} {when}; nothing may delay it."


def _leaving(world: World, job: Job) -> list[str]:
    leaving = leaving_for(world, job)
    return [f"Switched out for it: {', '.join(map(str, leaving))}."] if leaving else []


def _ranked(made_of: Factors) -> str:
    priority, *parts = made_of
    names = ("expansion", "age", "brevity", "size", "fair share")
    shown = ", ".join(f"{name} {part + 0.0:+.2f}" for name, part in zip(names, parts, strict=True))
    return f"Its rank: priority {priority}, score {made_of.score:.2f} ({shown})."


def _starts(expected: Expected | None, now: Now) -> str:
    if expected is None:
        return "When it starts cannot be told: it waits behind jobs without a time limit, or many."
    gpus = ", ".join(f"gpu{index}" for index in expected.gpus) or "no GPU"
    after = f", when job {expected.after} ends" if expected.after else ""
    span = format_duration(max(0.0, expected.wall - now.wall))
    return f"Expected to start in {span} on {gpus}{after}, if all run for their whole limits."
