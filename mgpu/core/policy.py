"""What the administrator decided, as the core needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mgpu.model.job import JobSpec


@dataclass(frozen=True, slots=True)
class QosClass:
    """A class of jobs (``--qos``): ``priority`` is added to that of its jobs.

    A job of a ``preemptible`` class is switched out for one of a class with a higher priority,
    not before it has run for ``min_run`` seconds. Only members of ``groups`` may name the class;
    without any, everybody may.
    """

    name: str
    priority: int = 0
    preemptible: bool = False
    min_run: int = 600
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Defaults:
    """What jobs of a ``group`` get; None is nothing."""

    group: str
    time_limit: int | None = None
    priority: int | None = None
    qos: str = ""
    project: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The machine's rules. Durations are seconds, memory is MiB; 0 means no bound where noted.

    A reservation whose end is not known holds others back once its job has waited ``drain_after``.
    ``weights`` are those of fair share, by ``user:``, ``group:`` and ``project:`` names; the other
    weights are those of ``core.order``. ``classes`` are by name, "" being the usual one.
    ``margin`` is kept free on each GPU; up to ``unmanaged_ignore`` of a GPU may be used by
    processes outside mgpu while it still counts as unused.
    """

    max_job_time: int = 0  # 0: no bound
    grace: int = 30
    max_requeues: int = 0  # 0: no bound
    margin: int = 0
    unmanaged_ignore: int = 512
    max_pending_per_user: int = 1000  # 0: no bound
    max_user_priority: int = 1000
    start_retries: int = 5
    max_node_failures: int = 5  # in a row, each soon after a start; 0: no bound
    retry_delay: float = 30.0  # before the first retry of a job that failed; doubled each time
    max_gpuless: int = 64  # jobs without GPUs that run at once; 0: no bound
    order: str = "fifo"  # or "fairshare"
    backfill: str = "reserve"  # or "none" (nobody passes), "greedy" (no reservation)
    drain_after: float = 0.0
    half_life: float = 7 * 86400.0
    patience: float = 0.0  # 0: no such bound
    weight_expansion: float = 1.0
    weight_age: float = 1.25
    weight_brevity: float = 0.0
    weight_size: float = 0.5
    weight_fairshare: float = 0.25
    limit_floor: float = 600.0
    weights: Mapping[str, float] = field(default_factory=dict)
    max_running_per_user: int = 0  # 0: no bound
    submitters: frozenset[str] = frozenset()  # as in ``weights``; empty: everybody
    denied: frozenset[str] = frozenset()
    raisers: frozenset[str] = frozenset()  # who may pass max_user_priority
    defaults: tuple[Defaults, ...] = ()  # by group, the first that fits holds
    known_projects: frozenset[str] = frozenset()  # that jobs may name; empty: any
    require_project: bool = False
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)  # as in ``weights``
    classes: Mapping[str, QosClass] = field(default_factory=lambda: {"": QosClass("normal")})
    on_time_limit: str = "requeue"  # or "cancel", "extend-when-idle"
    placement: str = "pack"  # or "spread", "sequential", "random"
    cpus: int = 0  # of the machine, for jobs that name some; 0: no bound
    host_memory: int = 0  # as well
    cleaning: bool = False  # GPUs are given out again when their last job is seen to be gone
    cleaning_limit: float = 30.0  # after so long with something left a GPU is dirty
    outsiders: str = "avoid"  # or "ignore", "report", "kill"
    outsider_grace: float = 60.0  # before one is killed
    min_uid: int = 1000  # processes of accounts below are not killed
    isolation: str = "detect"  # or "variables", "enforce"
    devices: frozenset[int] | None = None  # indices of the GPUs that may be used; None: all

    over_memory: str = "report"  # or "kill": jobs that use more than they asked for
    over_memory_margin: int = 512
    over_memory_grace: float = 60.0
    idle_after: float = 0.0  # after so long with idle GPUs a job is told of; 0: never
    idle_policy: str = "report"  # or "requeue"
    idle_below: int = 1  # percent of utilization

    def class_of(self, qos: str) -> QosClass:
        """The class that ``qos`` names; the usual one where it is not known any more."""
        return self.classes.get(qos) or self.classes[""]


def effective_limit(spec: JobSpec, policy: Policy) -> int:
    """The time limit that holds: the smaller of the job's and the machine's; 0 is none."""
    return shorter_limit(spec.time_limit, policy)


def shorter_limit(time_limit: int | None, policy: Policy) -> int:
    """As :func:`effective_limit`, for a bare ``time_limit``."""
    if time_limit and policy.max_job_time:
        return min(time_limit, policy.max_job_time)
    return time_limit or policy.max_job_time
