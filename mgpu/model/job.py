"""A job: what was asked (never changes) and where it is (changed by ``core.lifecycle`` alone)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mgpu.model import states
from mgpu.model.dependency import Dependency
from mgpu.model.notice import Notify
from mgpu.model.sweep import Sweep
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now

#: GPUs, MiB on each, exclusive, time limit, type, UUIDs, least size, capability, CPUs, host MiB.
Shape = tuple[
    int, int | None, bool, int | None, str, tuple[str, ...], int, tuple[int, int], int, int
]


#: GPUs, MiB on each (None: the GPUs for itself), MiB of the machine's memory.
Sizes = tuple[int, int | None, int]
#: Time limit (None: the machine's), class, and sizes (None: as submitted).
Change = tuple[int | None, str, Sizes | None]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a submission asked for; shared by all jobs of that submission.

    Sizes are MiB, durations seconds. ``gpu_mem`` None means: the GPUs for itself. ``time_limit``
    None means: the machine's. ``signal`` is (number, seconds before the limit). What only the
    job's own process needs (environment, script, arguments) is the launch payload, kept apart
    in the store and never held by the scheduler. ``output`` and ``error`` are the patterns of its
    logs ("": the default one, and the same file), kept so that they can be found afterwards.

    ``qos`` names a class of the policy ("": the default one). ``gpu_type`` is part of a GPU's
    name, ``gpu_uuids`` are the only GPUs it may have, ``min_gpu_total`` is the least memory of a
    whole GPU. ``cpus`` and ``host_mem`` are 0 where the job names none. ``deadline`` (Unix time)
    is when it must be over. ``retries`` is how often it runs again after a failure. ``notify`` is
    who is told of it.
    """

    spec_id: int
    name: str
    command: str
    cwd: str
    gpus: int = 1
    gpu_mem: int | None = None
    exclusive: bool = False
    time_limit: int | None = None
    requeue: bool = True
    signal: tuple[int, int] | None = None
    project: str = ""
    qos: str = ""
    gpu_type: str = ""
    gpu_uuids: tuple[str, ...] = ()
    min_gpu_total: int = 0
    min_capability: tuple[int, int] = (0, 0)
    cpus: int = 0
    host_mem: int = 0
    deadline: float | None = None
    retries: int = 0
    kill_on_invalid_dep: bool = True
    sweep: Sweep | None = None
    name_template: str = ""
    output: str = ""
    error: str = ""
    notify: Notify | None = None

    @property
    def shares(self) -> bool:
        """Whether its GPUs may be shared with other jobs that name their memory."""
        return self.gpu_mem is not None and not self.exclusive

    @property
    def shape(self) -> Shape:
        """What placement looks at: jobs of one shape wait in one bucket."""
        return (
            self.gpus,
            self.gpu_mem,
            self.exclusive,
            self.time_limit,
            self.gpu_type,
            self.gpu_uuids,
            self.min_gpu_total,
            self.min_capability,
            self.cpus,
            self.host_mem,
        )


def altered(spec: JobSpec, change: Change | None) -> JobSpec:
    """``spec`` with another time limit, another class and other sizes."""
    if change is None:
        return spec
    limit, qos, sizes = change
    spec = replace(spec, time_limit=limit, qos=qos)
    if sizes is None:
        return spec
    return replace(spec, gpus=sizes[0], gpu_mem=sizes[1], host_mem=sizes[2])


@dataclass(frozen=True, slots=True)
class Pending:
    """Waits since ``since`` (Unix time). Not started before ``eligible`` (boot time, seconds).

    ``reason`` and ``detail`` say what a back-off waits for; empty when only its turn has to come.
    """

    since: float
    eligible: float = 0.0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Starting:
    """Holds ``gpus`` (UUIDs) since the decision ``decided``; its process is not yet known."""

    gpus: tuple[str, ...]
    decided: Now


@dataclass(frozen=True, slots=True)
class Running:
    """Its leader is the process ``pid`` that began at ``ticks`` (see proc(5), starttime)."""

    gpus: tuple[str, ...]
    started: Now
    pid: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """To be ended by order of ``by`` (a uid); ``started`` is None if it never was seen to run.

    ``preempted`` is the job that takes its place, 0 when it is cancelled. ``cause`` is
    ``states.MEMORY``, ``IDLE`` or ``REQUEUE`` when it is to end before its time, of which
    ``detail`` tells.
    """

    gpus: tuple[str, ...]
    by: int
    started: Now | None
    pid: int = 0
    ticks: int = 0
    preempted: int = 0
    cause: str = ""
    detail: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether the job is to wait for another attempt, once this one is over."""
        return self.preempted != 0 or self.cause in states.SENT_BACK


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: ``state`` is one of ``states.ENDED``.

    ``code`` and ``signal`` are None where unknown (never started, or lost); times are Unix time.
    """

    state: str
    ended: float
    started: float | None = None
    code: int | None = None
    signal: int | None = None
    detail: str = ""
    gpus: tuple[str, ...] = ()


Phase = Pending | Starting | Running | Stopping | Ended


@dataclass(slots=True)
class Job:
    """One job. ``attempt`` counts starts (0: none yet); ``seq`` is its place in the queue.

    ``restarts`` counts the times it was put back after it ran (MGPU_RESTART_COUNT);
    ``deferrals`` the starts in a row that failed for a passing cause, ``failures`` the runs that
    failed and were tried again, ``crashes`` those in a row under which the machine went down soon.

    ``array`` is the id of the array it belongs to (0: none). A waiting record of an array stands
    for all ``tasks`` named in it; one with an attempt has exactly one. ``held`` is who holds it
    back ("", ``user`` or ``admin``), ``begin`` (Unix time) when it may start at the earliest,
    ``needs`` what is left of its dependency. ``extension`` are seconds that this attempt may run
    beyond the machine's limit. ``peaks`` are the most MiB that the latest attempt was seen to use
    of each GPU (by UUID), ``note`` is what its owner is to know of it. ``altered`` are the time
    limit and the class of its ``spec`` where they are others than it was submitted with.
    """

    id: int
    uid: int
    user: str
    spec: JobSpec
    submitted: float
    seq: int
    phase: Phase
    priority: int = 0
    attempt: int = 0
    restarts: int = 0
    deferrals: int = 0
    failures: int = 0
    array: int = 0
    tasks: Tasks | None = None
    held: str = ""
    begin: float = 0.0
    needs: Dependency | None = None
    extension: int = 0
    crashes: int = 0
    peaks: tuple[tuple[str, int], ...] = ()
    note: str = ""
    altered: Change | None = None

    @property
    def state(self) -> str:
        """The state people see, in Slurm's words."""
        phase = self.phase
        if isinstance(phase, Pending):
            return states.PENDING
        if isinstance(phase, Ended):
            return phase.state
        return states.COMPLETING if isinstance(phase, Stopping) else states.RUNNING

    @property
    def gpus(self) -> tuple[str, ...]:
        """The UUIDs of the GPUs it holds now; empty unless it is starting, running or stopping."""
        phase = self.phase
        return phase.gpus if isinstance(phase, Starting | Running | Stopping) else ()

    @property
    def begun(self) -> Now | None:
        """When the attempt under way was seen to run; None before, and for a job without one."""
        phase = self.phase
        return phase.started if isinstance(phase, Running | Stopping) else None
