"""Requests that hold jobs back, let them go on, and care for recurring ones."""

from __future__ import annotations

from dataclasses import dataclass

from mgpu.model.target import Name
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


def parse_hold(fields: Fields) -> Hold:
    """A hold."""
    return Hold(_names(fields))


def parse_release(fields: Fields) -> Release:
    """A release."""
    return Release(_names(fields), float(fields.integer("begin", 0, LATEST, default=0)))


def parse_crons(_fields: Fields) -> Crons:
    """A list of recurring jobs."""
    return Crons()


def parse_cron_change(fields: Fields) -> CronChange:
    """A change of recurring jobs."""
    numbers = fields.items("numbers", MOST, lambda i, path: as_integer(i, path, 1, INT64_MAX))
    if not numbers:
        refuse("numbers", "names no recurring job")
    return CronChange(numbers, fields.choice("how", HOW, "pause"))


def _names(fields: Fields) -> tuple[Name, ...]:
    found = fields.names("jobs", MOST)
    if not found:
        refuse("jobs", "names no job")
    return found
