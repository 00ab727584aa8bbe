"""All that there is to say about a waiting job, in sentences: the scheduler's own answer."""

from __future__ import annotations

from collections.abc import Mapping

from mgpu.core.arrays import name_in, named
from mgpu.core.explain import leaving_for, reason_of, when
from mgpu.core.forecast import Expected, forecast
from mgpu.core.order import Factors, Scorer
from mgpu.core.outlook import Reservation
from mgpu.core.schedule import outlook
from mgpu.core.world import World
from mgpu.model.job import Job, Pending
from mgpu.model.states import Reason
from mgpu.model.time import Now
from mgpu.model.units import format_wait


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
        return [*lines, *_released(job)]
    held = outlook(world, now).reservation
    lines += [_reserved(world, held, job, now)] if held is not None else []
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
        Reason.DRAINED,
    }
)


def _released(job: Job) -> list[str]:
    """Who can let a held job go on, and how."""
    if job.held == "admin":
        how = f"mgpu_job release --admin {named(job)}"
        return [f"Administrators alone can let it go on: {how}."]
    if job.held:
        return [f"Its owner and administrators can let it go on: mgpu_job release {named(job)}."]
    return []


def _reserved(world: World, held: Reservation, job: Job, now: Now) -> str:
    gpus = ", ".join(f"gpu{index}" for index in held.gpus) or "its place"
    gets = f"is the first in line and gets {gpus} {when(world, held, now)}"
    if held.job is job:
        return f"It {gets}."
    return f"Job {named(held.job)} {gets}; nothing may delay it."


def _leaving(world: World, job: Job) -> list[str]:
    leaving = leaving_for(world, job)
    names = ", ".join(name_in(world, number) for number in leaving)
    return [f"Switched out for it: {names}."] if leaving else []


def _ranked(made_of: Factors) -> str:
    priority, *parts = made_of
    names = ("expansion", "age", "brevity", "size", "fair share")
    rounded = [round(part, 2) + 0.0 for part in (made_of.score, *parts)]  # never -0.00
    shown = ", ".join(f"{name} {part:+.2f}" for name, part in zip(names, rounded[1:], strict=True))
    return f"Its rank: priority {priority}, score {rounded[0]:.2f} ({shown})."


def _starts(expected: Expected | None, now: Now) -> str:
    if expected is None:
        return "When it starts cannot be told: what it waits for ends at no time that is known."
    gpus = ", ".join(f"gpu{index}" for index in expected.gpus) or "no GPU"
    after = f", when job {expected.after} ends" if expected.after else ""
    span = format_wait(expected.wall - now.wall)
    return f"Expected to start in {span} on {gpus}{after}, if all run for their whole limits."
