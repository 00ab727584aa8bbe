"""What can happen to jobs: the only input of ``core.lifecycle.evolve`` and the audit trail.

Each event names the job; those about a run name its attempt. ``at`` is when it was decided.
"""

from __future__ import annotations

from dataclasses import dataclass

from mgpu.model.job import JobSpec
from mgpu.model.time import Now


@dataclass(frozen=True, slots=True)
class Submitted:
    """``count`` jobs with consecutive ids from ``job`` and one spec entered the queue."""

    at: Now
    job: int
    count: int
    uid: int
    user: str
    spec: JobSpec
    priority: int


@dataclass(frozen=True, slots=True)
class Started:
    """The scheduler gave the job ``gpus`` (UUIDs); attempt ``attempt`` is to be launched."""

    at: Now
    job: int
    attempt: int
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Launched:
    """The job's program runs as process (``pid``, ``ticks``)."""

    at: Now
    job: int
    attempt: int
    pid: int
    ticks: int


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """``uid`` wants it ended. A waiting job ends at once, a running one is stopped."""

    at: Now
    job: int
    uid: int


@dataclass(frozen=True, slots=True)
class Deferred:
    """The start failed for a passing cause: back to its place, not before ``eligible`` (boot).

    ``counted`` is False when nothing had been run at all, so that the attempt is not counted
    against a bound.
    """

    at: Now
    job: int
    attempt: int
    eligible: float
    reason: str
    detail: str
    counted: bool


@dataclass(frozen=True, slots=True)
class Requeued:
    """The attempt is over (``state`` says how) and the job waits again at the end of the queue."""

    at: Now
    job: int
    attempt: int
    state: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The job is over. ``attempt`` is 0 when it never started; ``code``/``signal`` as in Ended."""

    at: Now
    job: int
    attempt: int
    state: str
    code: int | None = None
    signal: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PriorityChanged:
    """``uid`` set the priority of a waiting job."""

    at: Now
    job: int
    uid: int
    priority: int


Event = (
    Submitted
    | Started
    | Launched
    | CancelRequested
    | Deferred
    | Requeued
    | Finished
    | PriorityChanged
)
