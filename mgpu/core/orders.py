"""What administrators order: reservations and quotas, made and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
    """Take a reservation back, with all its later occurrences."""

    uid: int
    id: int


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


Order = Reserve | Unreserve | SetQuota | RemoveQuota


@dataclass(frozen=True, slots=True)
class Kept:
    """The record that an order is about: the id of a reservation, the subject of a quota."""

    key: str
