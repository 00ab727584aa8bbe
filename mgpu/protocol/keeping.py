"""Requests that hold jobs back, let them go on, and care for recurring ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mgpu.model.target import Name
from mgpu.protocol import names
from mgpu.protocol.fields import INT64_MAX, LATEST, Fields, as_integer, refuse

MOST = 5000
HOW = ("pause", "resume", "remove")


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep these waiting jobs from starting."""

    jobs: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Let these jobs go on, not before ``begin`` (Unix time, 0: as they were to begin)."""

    jobs: tuple[Name, ...]
    begin: float


@dataclass(frozen=True, slots=True)
class Crons:
    """The recurring jobs."""


@dataclass(frozen=True, slots=True)
class CronChange:
    """Pause, resume or remove recurring jobs."""

    numbers: tuple[int, ...]
    how: str


Keeping = Hold | Release | Crons | CronChange


def _cron_change(fields: Fields) -> CronChange:
    numbers = fields.items("numbers", MOST, lambda i, path: as_integer(i, path, 1, INT64_MAX))
    if not numbers:
        refuse("numbers", "names no recurring job")
    return CronChange(numbers, fields.choice("how", HOW, "pause"))


def _release(fields: Fields) -> Release:
    return Release(fields.jobs(MOST), float(fields.integer("begin", 0, LATEST, default=0)))


PARSERS: dict[str, Callable[[Fields], Keeping]] = {
    names.HOLD: lambda fields: Hold(fields.jobs(MOST)),
    names.RELEASE: _release,
    names.CRONS: lambda _: Crons(),
    names.CRON_CHANGE: _cron_change,
}
