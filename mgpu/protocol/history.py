"""The request for reports over what has run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mgpu.model import states
from mgpu.protocol import names
from mgpu.protocol.fields import (
    INT64_MAX,
    LATEST,
    Fields,
    as_integer,
    as_state,
    as_text,
    refuse,
    shown,
)

#: The tables that can be asked for.
TABLES: Final = ("total", "user", "project", "state", "gpu", "day", "hours", "top", "runs")
#: Rows of the table of attempts, and of that of the largest jobs, at the most.
MOST: Final = 10_000
MOST_TOP: Final = 1000
#: Days that one question can be about.
MOST_DAYS: Final = 400
_NAMES: Final = 100
_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class Stats:
    """What ended from ``since`` to ``until`` (Unix times; 0: to now, with what runs).

    Empty filters match all; ``mine`` is the caller's alone. ``days`` are when days begin, for the
    table of them.
    """

    tables: tuple[str, ...]
    since: float
    until: float
    users: tuple[str, ...]
    states: tuple[str, ...]
    projects: tuple[str, ...]
    jobs: tuple[int, ...]
    mine: bool
    limit: int
    top: int
    days: tuple[int, ...] = ()


def _stats(fields: Fields) -> Stats:
    tables = fields.items("tables", len(TABLES), _table)
    if not tables:
        refuse("tables", f"names none; there are {', '.join(TABLES)}")
    since = fields.integer("since", 0, LATEST, default=0)
    until = fields.integer("until", 0, LATEST, default=0)
    if until and until <= since:
        refuse("until", f"{until} is not after since, {since}")
    return Stats(
        tuple(dict.fromkeys(tables)),
        float(since),
        float(until),
        fields.items("users", _NAMES, _name),
        fields.items("states", len(states.CODES), as_state),
        fields.items("projects", _NAMES, _name),
        fields.items("jobs", names.MAX_IDS, lambda job, path: as_integer(job, path, 1, INT64_MAX)),
        fields.boolean("mine", default=False),
        fields.integer("limit", 1, MOST, default=1000),
        fields.integer("top", 1, MOST_TOP, default=10),
        _days(fields, tables),
    )


def _days(fields: Fields, tables: tuple[str, ...]) -> tuple[int, ...]:
    days = fields.items("days", MOST_DAYS, lambda day, path: as_integer(day, path, 0, LATEST))
    if list(days) != sorted(set(days)):
        refuse("days", "they are not in order")
    if "day" in tables and not days:
        refuse("days", 'there are none, and the table "day" is asked for')
    return days


def _table(value: object, path: str) -> str:
    table = as_text(value, path, names.MAX_KEY)
    if table not in TABLES:
        refuse(path, f"{shown(table)} is no table; there are {', '.join(TABLES)}")
    return table


def _name(value: object, path: str) -> str:
    return as_text(value, path, _LENGTH)


PARSERS: dict[str, Callable[[Fields], Stats]] = {names.STATS: _stats}
