"""What the scheduler keeps beside jobs: one frozen value each, replaced as a whole.

Each has a ``key``, unique among its kind. Times are Unix times, durations seconds, memory MiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mgpu.model.job import JobSpec


@dataclass(frozen=True, slots=True)
class Array:
    """An array of jobs: ``done`` and ``failed`` count tasks that ended, well and otherwise.

    At most ``max_concurrent`` of its tasks run at once; 0 is no bound. ``first`` and ``last`` are
    the smallest and the greatest index that it was submitted with.
    """

    id: int
    uid: int
    total: int
    max_concurrent: int = 0
    done: int = 0
    failed: int = 0
    first: int = 0
    last: int = 0

    @property
    def key(self) -> str:
        """Its id."""
        return str(self.id)


@dataclass(frozen=True, slots=True)
class Usage:
    """GPU-seconds that ``account`` used, decayed to the time ``at``."""

    account: str
    gpu_seconds: float
    at: float

    @property
    def key(self) -> str:
        """Whose usage it is, as ``user:1000`` or ``project:vision``."""
        return self.account


@dataclass(frozen=True, slots=True)
class Reservation:
    """GPUs kept for some people from ``start`` for ``duration`` seconds.

    ``gpus`` are UUIDs; with ``count`` they are chosen by the scheduler. ``cron`` repeats it in
    ``zone``: ``start`` is then the next or present occurrence. ``preempt`` switches out jobs that
    run on its GPUs when it begins. One for nobody keeps its GPUs idle.
    """

    id: int
    name: str
    by: int
    start: float
    duration: int
    count: int = 0
    gpus: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    cron: str = ""
    zone: str = ""
    preempt: bool = False

    @property
    def key(self) -> str:
        """Its id."""
        return str(self.id)

    @property
    def end(self) -> float:
        """When this occurrence is over."""
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Quota:
    """Bounds of one ``subject``: ``user:ada``, ``group:lab``, ``project:x`` or ``default:user``.

    None is no bound. ``gpu_hours`` are counted over ``period`` seconds, from ``since`` on.
    """

    subject: str
    running_gpus: int | None = None
    running_jobs: int | None = None
    gpu_memory: int | None = None
    queued_jobs: int | None = None
    gpu_hours: float | None = None
    period: int = 30 * 86400
    since: float = 0.0

    @property
    def key(self) -> str:
        """Its subject."""
        return self.subject


@dataclass(frozen=True, slots=True)
class Recurring:
    """A job that is submitted again and again, whenever ``cron`` is due in ``zone``.

    ``next`` is when that is. ``active`` is the job of the last run. ``overlap`` says what happens
    while that is active (``skip`` or ``queue``), ``missed`` what happens when runs fell into a
    stop of the service (``drop`` or ``once``). ``left_out`` counts runs that did not take place
    and ``note`` says why the last of them did not. One that is ``paused`` ``by_admin`` is resumed
    by administrators alone.
    """

    id: int
    uid: int
    user: str
    spec: JobSpec
    priority: int
    cron: str
    zone: str
    next: float
    paused: bool = False
    overlap: str = "skip"
    missed: str = "drop"
    active: int = 0
    left_out: int = 0
    note: str = ""
    by_admin: bool = False

    @property
    def key(self) -> str:
        """Its id."""
        return str(self.id)


@dataclass(frozen=True, slots=True)
class Membership:
    """The names of the groups that ``uid`` was in at its last submission."""

    uid: int
    groups: tuple[str, ...]

    @property
    def key(self) -> str:
        """Whose they are."""
        return str(self.uid)


@dataclass(frozen=True, slots=True)
class Spending:
    """GPU-seconds that ``subject`` used, counted for its quota in the period from ``since`` on."""

    subject: str
    since: float
    gpu_seconds: float

    @property
    def key(self) -> str:
        """Its subject."""
        return self.subject


@dataclass(frozen=True, slots=True)
class Counter:
    """The last number that was given to something called ``name``; none is given twice."""

    name: str
    last: int

    @property
    def key(self) -> str:
        """What is numbered."""
        return self.name


@dataclass(frozen=True, slots=True)
class Drain:
    """Nothing new is started on the GPU ``uuid`` since ``at``, by order of ``by`` (a uid).

    With ``fault`` the scheduler ordered it, because the hardware reported an error. ``broken`` is
    the error that was reported of a GPU which was, or is now, drained for another reason.
    """

    uuid: str
    reason: str
    by: int
    at: float
    fault: bool = False
    broken: str = ""

    @property
    def error(self) -> str:
        """What the hardware reported, if anything."""
        return self.reason if self.fault else self.broken

    @property
    def key(self) -> str:
        """The GPU."""
        return self.uuid


@dataclass(frozen=True, slots=True)
class Closure:
    """No job is started at all since ``at``, by order of ``by`` (a uid).

    With ``stop`` mgpud ends when no job runs any more.
    """

    reason: str
    by: int
    at: float
    stop: bool = False
    key: ClassVar[str] = "machine"


@dataclass(frozen=True, slots=True)
class Restriction:
    """New starts are made on the GPUs ``uuids`` alone; set by ``by`` (a uid) at run time."""

    uuids: tuple[str, ...]
    by: int

    @property
    def key(self) -> str:
        """There is one at the most."""
        return "gpus"


@dataclass(frozen=True, slots=True)
class Ignored:
    """The process ``pid`` that began at ``ticks`` does not make its GPUs count as taken."""

    pid: int
    ticks: int
    by: int

    @property
    def key(self) -> str:
        """Its pid: there is one process of that number at a time."""
        return str(self.pid)


@dataclass(frozen=True, slots=True)
class Excused:
    """An administrator gives the GPU ``uuid`` out though it reports this ``fault``."""

    uuid: str
    fault: str

    @property
    def key(self) -> str:
        """The GPU."""
        return self.uuid


@dataclass(frozen=True, slots=True)
class Base:
    """``used`` MiB of the GPU ``uuid`` are in use when nobody is there: ``by`` (a uid) said so."""

    uuid: str
    used: int
    by: int

    @property
    def key(self) -> str:
        """The GPU."""
        return self.uuid


@dataclass(frozen=True, slots=True)
class Outsider:
    """A process outside mgpu that takes a GPU from jobs, first seen at ``at`` (boot time).

    It uses ``memory`` of the GPU ``gpu`` (UUID). Kept while it is there, where the policy is to
    report such processes or to kill them.
    """

    pid: int
    ticks: int
    uid: int
    gpu: str
    memory: int
    at: float

    @property
    def key(self) -> str:
        """Which process it is: its pid alone can be that of a later one on the next GPU."""
        return f"{self.pid}.{self.ticks}"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a ``target`` is to be told: ``body`` is the JSON, ``about`` whom it is about.

    It came up at ``at`` and is sent at ``due`` at the earliest. ``lane`` is whose turn it takes.
    ``tries`` are those begun; ``sent`` is when the last one was, until its outcome is known.
    One that is ``done`` is kept so that the same is not told again too soon.
    """

    id: int
    uid: int
    lane: str
    event: str
    about: str
    target: str
    body: str
    at: float
    due: float
    tries: int = 0
    sent: float = 0.0
    done: bool = False

    @property
    def key(self) -> str:
        """Its number."""
        return str(self.id)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the GPUs of a job that runs, for ``seconds`` of this attempt.

    ``memory`` is MiB on one of them times seconds. For ``told`` seconds their utilization is
    known: ``busy`` is percent times seconds, ``idle`` the seconds in which all did nothing.
    """

    job: int
    attempt: int
    seconds: float = 0.0
    memory: float = 0.0
    told: float = 0.0
    busy: float = 0.0
    idle: float = 0.0

    @property
    def key(self) -> str:
        """Its job."""
        return str(self.job)


Record = (
    Array
    | Usage
    | Reservation
    | Quota
    | Recurring
    | Membership
    | Spending
    | Counter
    | Drain
    | Closure
    | Restriction
    | Ignored
    | Excused
    | Base
    | Outsider
    | Notice
    | Seen
)
