"""What can happen to jobs: the only input of ``core.lifecycle.evolve`` and the audit trail.

Each event names the job; those about a run name its attempt. ``at`` is when it was decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mgpu.model.dependency import Dependency
from mgpu.model.job import JobSpec, Sizes
from mgpu.model.records import Record
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now


@dataclass(frozen=True, slots=True)
class Submitted:
    """``count`` jobs with consecutive ids from ``job`` and one spec entered the queue.

    With ``tasks`` it is one array, whose id is ``job``. The rest as in :class:`mgpu.model.job.Job`.
    """

    at: Now
    job: int
    count: int
    uid: int
    user: str
    spec: JobSpec
    priority: int
    tasks: Tasks | None = None
    held: str = ""
    begin: float = 0.0
    needs: Dependency | None = None


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


@dataclass(frozen=True, slots=True)
class Altered:
    """``uid`` gave the job another time limit (None: the machine's), class and ``sizes``.

    All are told, changed or not; sizes that were never changed are None.
    """

    at: Now
    job: int
    uid: int
    time_limit: int | None
    qos: str
    sizes: Sizes | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """The new record ``child`` takes over ``tasks`` of the waiting array record ``job``."""

    at: Now
    job: int
    child: int
    tasks: Tasks


@dataclass(frozen=True, slots=True)
class Held:
    """``uid`` holds a waiting job back, as its ``user`` or as ``admin``."""

    at: Now
    job: int
    uid: int
    held: str


@dataclass(frozen=True, slots=True)
class Released:
    """``uid`` lets a held job go on, not before ``begin`` (Unix time, 0: as it was to begin)."""

    at: Now
    job: int
    uid: int
    begin: float


@dataclass(frozen=True, slots=True)
class DependencyChanged:
    """Something that a waiting job depends on has happened; ``needs`` is what is left."""

    at: Now
    job: int
    needs: Dependency | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A waiting job can never run and ends: ``reason`` is a word of states.Reason."""

    at: Now
    job: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Preempted:
    """The attempt is to give its GPUs to ``by`` (a job, or minus the id of a reservation)."""

    at: Now
    job: int
    attempt: int
    by: int


@dataclass(frozen=True, slots=True)
class Retried:
    """The run failed and the job waits to run again, not before ``eligible`` (boot time)."""

    at: Now
    job: int
    attempt: int
    code: int | None
    signal: int | None
    eligible: float


@dataclass(frozen=True, slots=True)
class Extended:
    """The attempt may run ``extension`` seconds beyond its limit in all."""

    at: Now
    job: int
    attempt: int
    extension: int


@dataclass(frozen=True, slots=True)
class Evicted:
    """The attempt is to end before its time: ``cause`` is as in Stopping."""

    at: Now
    job: int
    attempt: int
    cause: str
    detail: str


@dataclass(frozen=True, slots=True)
class Measured:
    """The most that the attempt was seen to use of each GPU so far, as (UUID, MiB)."""

    at: Now
    job: int
    attempt: int
    peaks: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """The owner is to know ``text`` about the attempt; empty where it is so no longer."""

    at: Now
    job: int
    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """``uid`` (0: the scheduler) put ``record`` in the place of the one with its key."""

    at: Now
    uid: int
    record: Record
    job: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Erased:
    """``uid`` (0: the scheduler) removed the record of this ``kind`` (a class name) and key."""

    at: Now
    uid: int
    kind: str
    key: str
    job: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Audited:
    """``uid`` asked for ``op`` about something, and ``result`` is what came of it.

    A submission that was accepted is no such event: :class:`Submitted` tells all of it.
    """

    at: Now
    uid: int
    op: str
    about: str
    result: str
    job: ClassVar[int] = 0


Event = (
    Submitted
    | Started
    | Launched
    | CancelRequested
    | Deferred
    | Requeued
    | Finished
    | PriorityChanged
    | Altered
    | Split
    | Held
    | Released
    | DependencyChanged
    | Refused
    | Preempted
    | Retried
    | Extended
    | Evicted
    | Measured
    | Noted
    | Recorded
    | Erased
    | Audited
)
