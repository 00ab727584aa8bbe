"""mgpu_queue --priority, --start and --why: what the scheduler says of its own order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mgpu.cli.base import complain, emit
from mgpu.model.target import Name, Names, on_wire
from mgpu.model.tasks import parse_tasks
from mgpu.model.units import visible
from mgpu.protocol import names

if TYPE_CHECKING:
    from mgpu.client import Client

Row = list[Any]

_RANKS = ("JOBID", "USER", "PRIORITY", "SCORE", "EXPANSION", "AGE", "BREVITY", "SIZE", "FAIRSHARE")
_STARTS = ("JOBID", "USER", "START_TIME", "GPUS", "AFTER_JOB")


def show_ranks(client: Client, *, limit: int | None, as_json: bool, header: bool) -> int:
    """The jobs in line, in order, with what their ranks are made of (Slurm: sprio)."""
    rows = client.request(names.RANKS, {"limit": limit or 100}).body["rows"]
    if as_json:
        _write_json([*_HEAD, *(name.lower() for name in _RANKS[2:])], rows)
        return 0
    lines = [
        [job_name(row), visible(row[3]), str(row[4]), *(f"{part + 0.0:.2f}" for part in row[5:])]
        for row in rows
    ]
    _write_table(_RANKS, lines, header=header)
    return 0


def show_starts(client: Client, ids: list[Name], *, as_json: bool, header: bool) -> int:
    """When jobs are expected to start, and after which other one."""
    rows = client.request(names.STARTS, {"jobs": list(map(on_wire, ids))}).body["rows"]
    if as_json:
        _write_json([*_HEAD, "start", "gpu_ids", "after"], rows)
        return 0
    lines = [
        [job_name(row), visible(row[3]), _moment(row[4]), _gpus(row[5]), str(row[6] or "-")]
        for row in rows
    ]
    _write_table(_STARTS, lines, header=header)
    return 0


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
    for name in map(on_wire, unknown):
        complain(f"job {name}: unknown, or ended; see mgpu_queue --jobs {name}")
    return 1 if unknown else 0


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


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


def _gpus(indices: list[int]) -> str:
    return ",".join(f"gpu{index}" for index in indices) or "-"


def _write_table(titles: tuple[str, ...], rows: list[list[str]], *, header: bool) -> None:
    table = [list(titles), *rows] if header else rows
    widths = [max(map(len, column)) for column in zip(*table, strict=True)] if table else []
    for row in table:
        emit("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _write_json(fields: list[str], rows: list[Row]) -> None:
    import json

    emit(json.dumps({"jobs": [dict(zip(fields, row, strict=True)) for row in rows]}, indent=1))
