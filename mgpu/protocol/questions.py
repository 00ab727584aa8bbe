"""Questions about jobs: ranks, expected starts, why they wait, their output and terminals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mgpu.model.target import Name
from mgpu.protocol import names
from mgpu.protocol.fields import INT64_MAX, Fields

#: Jobs that one question may name.
MOST = 100
#: How far back in the caller's jobs one may count.
MOST_BACK = 9999


@dataclass(frozen=True, slots=True)
class Ranks:
    """The first ``limit`` jobs in line with what their ranks are made of."""

    limit: int


@dataclass(frozen=True, slots=True)
class Starts:
    """When the first jobs in line, and ``jobs``, are expected to start."""

    jobs: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """All that there is to say about waiting jobs."""

    jobs: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Logs:
    """Where the output of jobs goes; with ``terminal`` only of those that can be attached to."""

    jobs: tuple[Name, ...]
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """Tell once more has happened than the caller has ``seen``."""

    seen: int


@dataclass(frozen=True, slots=True)
class Newest:
    """Which job the caller submitted last (``back`` 0), or how many before that one."""

    back: int


@dataclass(frozen=True, slots=True)
class Attach:
    """Hand over a line to the job's terminal, once it runs in an attempt ``after`` that one."""

    job: int
    after: int
    read_only: bool


Question = Ranks | Starts | Why | Logs | News | Newest | Attach


def _logs(fields: Fields) -> Logs:
    return Logs(fields.names("jobs", MOST), fields.boolean("terminal", default=False))


def _attach(fields: Fields) -> Attach:
    return Attach(
        fields.integer("job", 1, INT64_MAX),
        fields.integer("after", 0, INT64_MAX, default=0),
        fields.boolean("read_only", default=False),
    )


PARSERS: dict[str, Callable[[Fields], Question]] = {
    names.RANKS: lambda fields: Ranks(fields.integer("limit", 1, 10_000, default=100)),
    names.STARTS: lambda fields: Starts(fields.names("jobs", MOST)),
    names.WHY: lambda fields: Why(fields.names("jobs", MOST)),
    names.LOGS: _logs,
    names.NEWS: lambda fields: News(fields.integer("seen", 0, INT64_MAX, default=0)),
    names.NEWEST: lambda fields: Newest(fields.integer("back", 0, MOST_BACK, default=0)),
    names.ATTACH: _attach,
}
