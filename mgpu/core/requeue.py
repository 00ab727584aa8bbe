"""Sending running jobs back to the queue by order."""

from __future__ import annotations

from typing import Final

from mgpu.core.requests import Requeue
from mgpu.core.wishes import ENDED, Outcomes, outcomes, own_parts
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import Event, Evicted
from mgpu.model.job import Ended, Job, Pending, Running
from mgpu.model.time import Now

REQUEUED: Final = "requeued"
WAITS: Final = "waits"
#: It is being started, or ended already: neither can be turned round.
BUSY: Final = "busy"
#: It was submitted with ``--no-requeue``.
NEVER: Final = "never"


def requeue(world: World, wish: Requeue, now: Now) -> tuple[list[Event], Outcomes]:
    """End running jobs; each waits again at the end of the queue, with its number and its log."""
    named = own_parts(world, wish)
    jobs = {job.id: job for parts in named.values() for job, _ in parts}
    events: list[Event] = [
        Evicted(now, job.id, job.attempt, states.REQUEUE, _by(job, wish.uid))
        for job in jobs.values()
        if _outcome(job) == REQUEUED
    ]
    return events, outcomes(named, _outcome, (REQUEUED, NEVER, BUSY, WAITS, ENDED))


def _outcome(job: Job) -> str:
    if isinstance(job.phase, Pending):
        return WAITS
    if isinstance(job.phase, Ended):
        return ENDED
    if not isinstance(job.phase, Running):
        return BUSY
    return REQUEUED if job.spec.requeue else NEVER


def _by(job: Job, uid: int) -> str:
    return "requeued by its owner" if job.uid == uid else "requeued by an administrator"
