"""A workload: who asked for what and when, and how long it then ran.

Two kinds of CSV are read, told apart by their first line. The general one has the columns
``submit,user,gpus,run`` (seconds, the first from any origin) and may have ``limit``, ``gpu_mem``
(MiB), ``priority``, ``project``, ``qos`` and ``requeue`` (1: at its limit a job goes back into the
queue); an empty cell is the default. The other is that of
Microsoft's Philly cluster, with ``user,gpu_num,interval,run_time`` among its columns, where
``interval`` is the time since the line before.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

_HOUR = 3600

#: The limits that people give: 10 and 30 minutes, hours, days, weeks.
USUAL_LIMITS: tuple[int, ...] = (
    600, 1800, *(hours * _HOUR for hours in (1, 2, 4, 8, 12, 24, 48, 96, 168, 336, 1000)),
)  # fmt: skip


class TraceError(ValueError):
    """The file is no trace; the text says where and why."""


class TraceJob(NamedTuple):
    """One job: submitted at ``submit`` seconds, it takes ``run`` seconds on its GPUs.

    ``limit`` None is no limit, ``gpu_mem`` None is whole GPUs. With ``requeue`` it waits again
    when it has reached its limit; else it is over.
    """

    submit: float
    user: str
    gpus: int
    run: float
    limit: int | None = None
    gpu_mem: int | None = None
    priority: int = 0
    project: str = ""
    qos: str = ""
    requeue: bool = False


@dataclass(frozen=True, slots=True)
class Shaping:
    """How a trace becomes a workload for a machine with ``gpus`` GPUs.

    Jobs that are larger than it are left out, and those that took no time; of the rest the
    ``first`` are taken (0: all). With ``load`` the submit times are stretched so that the jobs
    ask for this share of what the GPUs can give while they come in. With ``limit_factor`` every
    job gets this multiple of its run time as its limit, rounded up to one of ``limits``.
    """

    gpus: int
    first: int = 0
    load: float = 0.0
    limit_factor: float = 0.0
    limits: tuple[int, ...] = USUAL_LIMITS

    def __post_init__(self) -> None:
        """Refuse what no load and no factor is; with them the replay would never end."""
        for number in (self.load, self.limit_factor):
            if not 0 <= number < float("inf"):
                raise TraceError(f"{number!r} is no finite number >= 0")

    def fits(self, job: TraceJob) -> bool:
        """Whether a job is one that can be replayed."""
        return 1 <= job.gpus <= self.gpus and job.run > 0


def read(lines: Iterable[str]) -> list[TraceJob]:
    """The jobs of a CSV of either kind, in the order of submission."""
    rows = csv.DictReader(lines)
    columns = set(rows.fieldnames or ())
    for needed, reader in _KINDS:
        if needed <= columns:
            return sorted(reader(_cells(rows)), key=lambda job: job.submit)
    wanted = " or ".join(",".join(sorted(needed)) for needed, _ in _KINDS)
    raise TraceError(f"line 1: has not the columns {wanted}")


def shape(jobs: Iterable[TraceJob], shaping: Shaping) -> list[TraceJob]:
    """The workload that ``shaping`` makes of a trace; its first job is submitted at 0."""
    fitting = (job for job in jobs if shaping.fits(job))
    taken = list(islice(fitting, shaping.first or None))
    if not taken:
        return []
    origin = taken[0].submit
    stretch = _stretch(taken, shaping)
    return [
        job._replace(submit=(job.submit - origin) * stretch, limit=_limit(job, shaping))
        for job in taken
    ]


def offered_load(jobs: Sequence[TraceJob], gpus: int) -> float:
    """The GPU-seconds that the jobs ask for, as a share of what is there while they come in."""
    span = jobs[-1].submit - jobs[0].submit
    return sum(job.gpus * job.run for job in jobs) / (gpus * span) if span else float("inf")


def _stretch(jobs: Sequence[TraceJob], shaping: Shaping) -> float:
    if not shaping.load or jobs[-1].submit == jobs[0].submit:
        return 1.0
    return offered_load(jobs, shaping.gpus) / shaping.load


def _limit(job: TraceJob, shaping: Shaping) -> int | None:
    if not shaping.limit_factor:
        return job.limit
    wanted = job.run * shaping.limit_factor
    return next((limit for limit in shaping.limits if limit >= wanted), shaping.limits[-1])


class _Row:
    """One line of the file; complains with its number."""

    def __init__(self, line: int, cells: Mapping[str, str | None]) -> None:
        self.line = line
        self.cells = cells

    def text(self, column: str) -> str:
        return (self.cells.get(column) or "").strip()

    def number(self, column: str) -> float:
        try:
            value = float(self.text(column))
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise TraceError(f"line {self.line}: {column}: {self.text(column)!r} is no number >= 0")
        return value

    def whole(self, column: str) -> int | None:
        return int(self.number(column)) if self.text(column) else None


def _cells(rows: csv.DictReader[str]) -> Iterator[_Row]:
    for cells in rows:
        yield _Row(rows.line_num, cells)


def _read_general(rows: Iterable[_Row]) -> Iterator[TraceJob]:
    for row in rows:
        yield TraceJob(
            row.number("submit"),
            row.text("user"),
            int(row.number("gpus")),
            row.number("run"),
            row.whole("limit") or None,
            row.whole("gpu_mem"),
            row.whole("priority") or 0,
            row.text("project"),
            row.text("qos"),
            bool(row.whole("requeue")),
        )


def _read_philly(rows: Iterable[_Row]) -> Iterator[TraceJob]:
    submit = 0.0
    for row in rows:
        submit += row.number("interval")
        gpus = int(row.number("gpu_num"))
        yield TraceJob(submit, f"u{row.text('user')}", gpus, row.number("run_time"))


_Reader = Callable[[Iterable[_Row]], Iterator[TraceJob]]
_KINDS: tuple[tuple[frozenset[str], _Reader], ...] = (
    (frozenset({"submit", "user", "gpus", "run"}), _read_general),
    (frozenset({"user", "gpu_num", "interval", "run_time"}), _read_philly),
)
