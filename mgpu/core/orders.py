"""What administrators order: reservations, quotas and which GPUs are given out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mgpu.model.events import Event


@dataclass(frozen=True, slots=True)
class Reserve:
    """Keep GPUs for some people; the fields are those of :class:`mgpu.model.records.Reservation`.

    ``start`` None means at once; with ``cron`` it is the earliest time of the first occurrence.
    """

    uid: int
    name: str
    duration: int
    start: float | None = None
    count: int = 0
    gpus: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    cron: str = ""
    zone: str = ""
    preempt: bool = False


@dataclass(frozen=True, slots=True)
class Unreserve:
    """Take a reservation back, with all its later occurrences; one's own unless ``may_any``."""

    uid: int
    id: int
    may_any: bool = True


@dataclass(frozen=True, slots=True)
class SetQuota:
    """Change bounds of ``subject``: fields of :class:`mgpu.model.records.Quota`; None lifts one."""

    uid: int
    subject: str
    bounds: Mapping[str, int | float | None]


@dataclass(frozen=True, slots=True)
class RemoveQuota:
    """Take the quota of ``subject`` back."""

    uid: int
    subject: str


@dataclass(frozen=True, slots=True)
class DrainGpus:
    """Start nothing new on ``gpus``: words as in :func:`mgpu.core.serving.find`."""

    uid: int
    gpus: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ResumeGpus:
    """Give ``gpus`` out again that are drained, or dirty because of memory that is in use.

    One that an administrator drained and that has a fault is drained for its fault then.
    """

    uid: int
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestrictGpus:
    """Start new jobs on ``gpus`` alone; ``all`` goes back to what is configured."""

    uid: int
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IgnoreProcess:
    """The process ``pid`` outside mgpu does not make its GPUs count as taken."""

    uid: int
    pid: int


@dataclass(frozen=True, slots=True)
class HeedProcess:
    """The process ``pid`` counts again."""

    uid: int
    pid: int


@dataclass(frozen=True, slots=True)
class CloseMachine:
    """Start no job any more. With ``stop`` mgpud ends when none runs; ``cancel`` ends those."""

    uid: int
    reason: str
    stop: bool = False
    cancel: bool = False


@dataclass(frozen=True, slots=True)
class OpenMachine:
    """Start jobs again."""

    uid: int


Order = (
    CloseMachine
    | OpenMachine
    | Reserve
    | Unreserve
    | SetQuota
    | RemoveQuota
    | DrainGpus
    | ResumeGpus
    | RestrictGpus
    | IgnoreProcess
    | HeedProcess
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What an order is about: the id of a reservation, the subject of a quota, GPUs, a pid.

    ``note`` is what the caller should know besides.
    """

    key: str
    note: str = ""


#: What follows from an order, and what is answered.
Judged = tuple[list[Event], Kept]
