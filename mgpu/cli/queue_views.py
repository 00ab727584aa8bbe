"""mgpu_queue --priority, --start and --why: what the scheduler says of its own order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mgpu.cli.base import complain, emit, emit_json, table
from mgpu.cli.columns import moment
from mgpu.model.target import Name, Names, on_wire
from mgpu.model.tasks import parse_tasks
from mgpu.model.units import visible
from mgpu.protocol import names

if TYPE_CHECKING:
    from mgpu.client import Client

Row = list[Any]

_RANKS = ("JOBID", "USER", "PRIORITY", "SCORE", "EXPANSION", "AGE", "BREVITY", "SIZE", "FAIRSHARE")
_STARTS = ("JOBID", "USER", "START_TIME", "GPUS", "AFTER_JOB", "REASON")
_FIRST, _MOST = 100, 10_000
_WIDEST = 60


class Shown(NamedTuple):
    """Which jobs are shown, and how: ``users`` None is everybody's, ``ids`` empty is all."""

    ids: list[Name]
    users: list[str] | None
    limit: int | None
    as_json: bool
    header: bool

    def of(self, rows: list[Row]) -> list[Row]:
        """Those of the rows that are shown."""
        return [
            row
            for row in rows
            if (self.users is None or row[3] in self.users)
            and (not self.ids or any(_is_about(row, name) for name in self.ids))
        ][: self.limit]


def show_ranks(client: Client, shown: Shown) -> int:
    """The jobs in line, in order, with what their ranks are made of (Slurm: sprio)."""
    few = shown.users is None and not shown.ids
    asked = {"limit": shown.limit or _FIRST if few else _MOST}
    rows = shown.of(client.request(names.RANKS, asked).body["rows"])
    if shown.as_json:
        _write_json([*_HEAD, *(name.lower() for name in _RANKS[2:])], rows)
        return 0
    lines = [[job_name(row), visible(row[3]), str(row[4]), *map(_figure, row[5:])] for row in rows]
    _write_table(_RANKS, lines, header=shown.header)
    return 0


def _figure(part: float) -> str:
    return f"{round(part, 2) + 0.0:.2f}"  # never -0.00


def show_starts(client: Client, shown: Shown) -> int:
    """When jobs are expected to start, and after which other one."""
    wanted = list(map(on_wire, shown.ids)) or _of_users(client, shown)
    asked = wanted or shown.users is None  # naming none would ask for everybody's
    rows = client.request(names.STARTS, {"jobs": wanted}).body["rows"] if asked else []
    rows = shown.of(rows)
    if shown.as_json:
        _write_json([*_HEAD, "start", "gpu_ids", "after", "reason"], rows)
        return 0
    lines = [
        [job_name(row), visible(row[3]), moment(row[4]), _gpus(row[5]),
         *(visible(text) or "-" for text in row[6:8])]
        for row in rows
    ]  # fmt: skip
    _write_table(_STARTS, lines, header=shown.header)
    return 0


def _of_users(client: Client, shown: Shown) -> list[int | str]:
    """The waiting jobs of the chosen users, as many as one question names."""
    if shown.users is None:
        return []
    filters = {"scope": "all", "users": shown.users, "states": ["PENDING"], "limit": _FIRST}
    return [row[0] for row in client.rows(filters)]


def show_why(client: Client, ids: list[Name], *, as_json: bool) -> int:
    """All there is to say about each job."""
    rows = client.request(names.WHY, {"jobs": list(map(on_wire, ids))}).body["rows"]
    if as_json:
        _write_json([*_HEAD, "state", "why"], rows)
    for row in [] if as_json else rows:
        emit(f"job {job_name(row)} ({visible(row[3])}, {row[4]})")
        for sentence in row[5]:
            emit(f"  {visible(sentence)}")
    unknown = [name for name in ids if not any(_is_about(row, name) for row in rows)]
    if unknown:
        listed = ",".join(str(on_wire(name)) for name in unknown)
        words = f"jobs {_cut(listed)}" if unknown[1:] else f"job {_cut(listed)}"
        complain(f"{words}: unknown, or ended; see mgpu_queue --all --jobs {_cut(listed)}")
    return 1 if unknown else 0


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST]}..."


def _is_about(row: Row, name: Name) -> bool:
    tasks = parse_tasks(row[2])[0] if row[1] else None
    return Names([name]).has(row[0], row[1], tasks)


_HEAD = ("id", "array", "tasks", "user")


def job_name(row: Row) -> str:
    """``42``, ``42_7`` or ``42_[8-100]`` for a row that begins with id, array and tasks."""
    number, array, tasks = row[:3]
    if not array:
        return str(number)
    return f"{array}_{tasks}" if tasks.isdecimal() else f"{array}_[{tasks}]"


def _gpus(indices: list[int]) -> str:
    return ",".join(f"gpu{index}" for index in indices) or "-"


def _write_table(titles: tuple[str, ...], rows: list[list[str]], *, header: bool) -> None:
    lines = [titles, *rows] if header else rows
    if lines:
        emit("\n".join(table(lines)))


def _write_json(fields: list[str], rows: list[Row]) -> None:
    emit_json({"jobs": [dict(zip(fields, row, strict=True)) for row in rows]})
