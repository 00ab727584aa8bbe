"""What the core is asked to decide: wishes of users and reports about attempts.

Identity and rights were settled before: ``uid`` is the kernel's word, ``may_any`` and ``admin``
say that the role table lets the caller act on other people's jobs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mgpu.core.dependents import Ends
from mgpu.core.orders import Order
from mgpu.model.dependency import Dependency
from mgpu.model.job import JobSpec
from mgpu.model.target import Name
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now


@dataclass(frozen=True, slots=True)
class Submit:
    """Put ``count`` jobs of one spec into the queue, or one array of ``tasks``.

    ``max_concurrent`` bounds the tasks that run at once (0: no bound). ``known`` has the ends of
    jobs that it depends on and that are over. ``groups`` are those of the caller.
    """

    uid: int
    user: str
    spec: JobSpec
    priority: int = 0
    count: int = 1
    admin: bool = False
    tasks: Tasks | None = None
    max_concurrent: int = 0
    held: str = ""
    begin: float = 0.0
    needs: Dependency | None = None
    known: Ends = field(default_factory=dict)
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """End these jobs."""

    jobs: tuple[Name, ...]
    uid: int
    may_any: bool = False


@dataclass(frozen=True, slots=True)
class SetPriority:
    """Move these waiting jobs in the queue."""

    jobs: tuple[Name, ...]
    priority: int
    uid: int
    may_any: bool = False


@dataclass(frozen=True, slots=True)
class Alter:
    """Give jobs another time limit (0: the machine's), class or sizes; None: as it is.

    A ``gpu_mem`` of 0 means: the GPUs for itself. ``may_any``: jobs of others too, and more time
    than it has for one that runs.
    """

    jobs: tuple[Name, ...]
    time_limit: int | None
    qos: str | None
    uid: int
    may_any: bool = False
    gpus: int | None = None
    gpu_mem: int | None = None
    host_mem: int | None = None

    @property
    def resizes(self) -> bool:
        """Whether sizes are to change, which is for jobs that wait."""
        return (self.gpus, self.gpu_mem, self.host_mem) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep these waiting jobs from starting."""

    jobs: tuple[Name, ...]
    uid: int
    may_any: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """Let these jobs go on, not before ``begin`` (Unix time; 0: as they were to begin)."""

    jobs: tuple[Name, ...]
    uid: int
    may_any: bool = False
    begin: float = 0.0


@dataclass(frozen=True, slots=True)
class Requeue:
    """End these running jobs and let them wait for their turn again."""

    jobs: tuple[Name, ...]
    uid: int
    may_any: bool = False


@dataclass(frozen=True, slots=True)
class Repeat:
    """Submit a job again and again, whenever ``cron`` is due in ``zone``; see Recurring."""

    submit: Submit
    cron: str
    zone: str
    overlap: str = "skip"
    missed: str = "drop"


@dataclass(frozen=True, slots=True)
class ChangeRepeat:
    """``pause``, ``resume`` or ``remove`` recurring jobs, by their numbers."""

    numbers: tuple[int, ...]
    how: str
    uid: int
    may_any: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Let at most ``max_concurrent`` tasks of an array run at once; 0 is no bound."""

    job: int
    max_concurrent: int
    uid: int
    may_any: bool = False


@dataclass(frozen=True, slots=True)
class SetDependency:
    """Let these waiting jobs depend on others instead; ``needs`` None: on none.

    ``known`` as in :class:`Submit`.
    """

    jobs: tuple[Name, ...]
    needs: Dependency | None
    known: Ends
    uid: int
    may_any: bool = False


@dataclass(frozen=True, slots=True)
class AttemptRunning:
    """The job's program was executed at ``started`` as process (``pid``, ``ticks``)."""

    job: int
    attempt: int
    pid: int
    ticks: int
    started: Now


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The attempt's tree is gone. ``cause`` is ``exit``, ``timelimit``, ``cancel`` or ``memory``.

    ``wall`` and ``started`` are Unix times; ``started`` is None where it is not known.
    """

    job: int
    attempt: int
    code: int | None
    signal: int | None
    cause: str
    detail: str
    wall: float
    started: float | None = None


@dataclass(frozen=True, slots=True)
class AttemptRefused:
    """Nothing was executed: ``stage`` failed with ``errno`` (0: no system call failed)."""

    job: int
    attempt: int
    stage: str
    errno: int
    detail: str
    transient: bool


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """Its supervisor died, its processes are gone, how it ended is unknown."""

    job: int
    attempt: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AttemptVanished:
    """The attempt never came to be: its launch was decided, and nothing of it exists."""

    job: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Rebooted:
    """The machine was started again since the attempt began, or was going down under it."""

    job: int
    attempt: int


#: What somebody wants of jobs that are named, one by one.
JobWish = Cancel | SetPriority | Alter | Hold | Release | Requeue | SetDependency
Report = AttemptRunning | AttemptEnded | AttemptRefused | AttemptLost | AttemptVanished | Rebooted
Request = Submit | JobWish | Repeat | ChangeRepeat | Update | Order | Report
