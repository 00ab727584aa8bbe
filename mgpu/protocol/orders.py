"""Requests about reservations and quotas."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mgpu.model.units import MAX_MEMORY, MAX_SECONDS, quoted
from mgpu.protocol import names
from mgpu.protocol.fields import INT64_MAX, LATEST, Fields, as_integer, as_text, refuse

_NAME = 64
_NAMES = 100
_GPUS = 1024
_CRON = 256
LONGEST: Final = 366 * 86400
_SHORTEST_PERIOD = 3600
_SUBJECT: Final = r"(user|group):[^\s:]{1,64}|project:.{1,64}|default:(user|project)"

#: The bounds of a quota on the wire, each an integer from 0 on.
BOUNDS: Final = {
    "running_gpus": _GPUS * 64,
    "running_jobs": names.MAX_COUNT * 64,
    "gpu_memory": MAX_MEMORY,
    "queued_jobs": names.MAX_COUNT * 1024,
    "gpu_seconds": MAX_SECONDS * 64,
}


@dataclass(frozen=True, slots=True)
class Reserve:
    """Keep GPUs for some people; a repeated ``key`` of the same user is answered as before.

    ``start`` and ``end`` are Unix times, ``duration`` seconds; two of the three are needed, where
    an absent start means at once. ``gpus`` are indices. ``cron`` repeats it in ``zone`` (empty:
    the configured one).
    """

    key: str
    name: str
    start: int | None
    end: int | None
    duration: int | None
    count: int
    gpus: tuple[int, ...]
    users: tuple[str, ...]
    groups: tuple[str, ...]
    projects: tuple[str, ...]
    cron: str
    zone: str
    preempt: bool


@dataclass(frozen=True, slots=True)
class Reservations:
    """Which reservations are there?"""


@dataclass(frozen=True, slots=True)
class Unreserve:
    """Take this reservation back."""

    id: int


@dataclass(frozen=True, slots=True)
class QuotaSet:
    """Give ``subject`` these bounds (see :data:`BOUNDS`) and lift those named in ``lift``."""

    subject: str
    bounds: dict[str, int]
    lift: tuple[str, ...]
    period: int | None


@dataclass(frozen=True, slots=True)
class QuotaList:
    """Which quotas are there, and what is used of them?"""


@dataclass(frozen=True, slots=True)
class QuotaRemove:
    """Take the quota of ``subject`` back."""

    subject: str


Order = Reserve | Reservations | Unreserve | QuotaSet | QuotaList | QuotaRemove


def _reserve(fields: Fields) -> Reserve:
    request = Reserve(
        key=fields.text("key", names.MAX_KEY),
        name=fields.text("name", _NAME, default=""),
        start=fields.maybe_integer("start", 0, LATEST),
        end=fields.maybe_integer("end", 0, LATEST),
        duration=fields.maybe_integer("duration", 1, LONGEST),
        count=fields.integer("count", 0, _GPUS, default=0),
        gpus=fields.items("gpus", _GPUS, lambda item, path: as_integer(item, path, 0, _GPUS)),
        users=_names(fields, "for_users"),
        groups=_names(fields, "for_groups"),
        projects=_names(fields, "for_projects"),
        cron=fields.text("cron", _CRON, default=""),
        zone=fields.text("zone", _NAME, default=""),
        preempt=fields.boolean("preempt", default=False),
    )
    _check_times(request)
    return request


def _quota_set(fields: Fields) -> QuotaSet:
    found = {name: fields.maybe_integer(name, 0, most) for name, most in BOUNDS.items()}
    bounds = {name: value for name, value in found.items() if value is not None}
    lift = fields.items("lift", len(BOUNDS), _bound)
    period = fields.maybe_integer("period", _SHORTEST_PERIOD, LONGEST)
    return QuotaSet(_subject(fields), bounds, lift, period)


def _check_times(request: Reserve) -> None:
    if (request.end is None) == (request.duration is None):
        refuse("duration", "give either an end or a duration")
    if request.cron and request.duration is None:
        refuse("duration", "is missing; what is repeated needs one")


def _names(fields: Fields, name: str) -> tuple[str, ...]:
    return fields.items(name, _NAMES, lambda item, path: as_text(item, path, _NAME))


def _bound(value: object, path: str) -> str:
    name = as_text(value, path, names.MAX_KEY)
    if name not in BOUNDS:
        refuse(path, f"{quoted(name)} is no bound", hint=f"known are {', '.join(BOUNDS)}")
    return name


def _subject(fields: Fields) -> str:
    text = fields.text("subject", 2 * _NAME)
    if re.fullmatch(_SUBJECT, text) is None:
        hint = "write user:NAME, group:NAME, project:NAME, default:user or default:project"
        refuse("subject", f"{quoted(text)} is nobody that can have a quota", hint=hint)
    return text


PARSERS: dict[str, Callable[[Fields], Order]] = {
    names.RESERVE: _reserve,
    names.RESERVATIONS: lambda _: Reservations(),
    names.UNRESERVE: lambda fields: Unreserve(fields.integer("id", 1, INT64_MAX)),
    names.QUOTA_SET: _quota_set,
    names.QUOTA_LIST: lambda _: QuotaList(),
    names.QUOTA_REMOVE: lambda fields: QuotaRemove(_subject(fields)),
}
