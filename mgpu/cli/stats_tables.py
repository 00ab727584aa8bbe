"""How mgpu_stats shows its tables: plain where the output goes on, by rich on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from mgpu.cli import stats_week
from mgpu.cli.base import table
from mgpu.model.states import CODES
from mgpu.model.units import format_duration, format_memory, visible

#: The names of the columns, and the rows.
Table = tuple[list[str], list[list[Any]]]
Row = dict[str, Any]
Cell = Callable[[Row], str]

_NONE: Final = "-"


def _text(key: str) -> Cell:
    return lambda row: _NONE if row[key] in (None, "") else visible(str(row[key]))


def _count(key: str) -> Cell:
    return lambda row: str(row[key])


def _percent(key: str) -> Cell:
    return lambda row: _NONE if row[key] is None else f"{row[key]:.0f}%"


def _span(key: str) -> Cell:
    return lambda row: _NONE if row[key] is None else format_duration(round(row[key]))


def _hours(key: str) -> Cell:
    return lambda row: _NONE if row[key] is None else f"{row[key] / 3600:.1f}"


def _size(key: str) -> Cell:
    return lambda row: _NONE if row[key] is None else format_memory(round(row[key]))


def _moment(key: str) -> Cell:
    def cell(row: Row) -> str:
        return _NONE if row[key] is None else _at(row[key])

    return cell


def _at(wall: float) -> str:
    return datetime.fromtimestamp(wall).astimezone().strftime("%m-%d %H:%M")


def _day(row: Row) -> str:
    return datetime.fromtimestamp(row["day"]).astimezone().strftime("%Y-%m-%d")


def _job(row: Row) -> str:
    """``42``; of an array what it is of, and how many tasks where several ended together."""
    array = f" of array {row['array']}" if row["array"] else ""
    return f"{row['job']}{array}" + (f", {row['tasks']} tasks" if row["tasks"] > 1 else "")


def _gpus(row: Row) -> str:
    return ",".join(str(gpu)[:12] for gpu in row["gpus"]) or _NONE


def _exit(row: Row) -> str:
    """``code:signal``, as sacct writes it."""
    if row["code"] is None and row["signal"] is None:
        return _NONE
    return f"{row['code'] or 0}:{row['signal'] or 0}"


def _state(row: Row) -> str:
    again = "" if row["final"] or row["state"] == "RUNNING" else "*"
    return f"{CODES.get(row['state'], row['state'])}{again}"


_SUMS: Final[tuple[tuple[str, Cell], ...]] = (
    ("JOBS", _count("jobs")),
    ("RUNS", _count("attempts")),
    ("DONE", _count("completed")),
    ("FAILED", _count("failed")),
    ("TIMEOUT", _count("timeout")),
    ("CANCELLED", _count("cancelled")),
    ("SUCCESS", _percent("success")),
    ("GPU-HOURS", _hours("gpu_seconds")),
    ("WAIT", _span("wait_mean")),
    ("MEDIAN", _span("wait_median")),
    ("95%", _span("wait_p95")),
    ("UTIL", _percent("utilization")),
    ("MEM", _percent("memory")),
    ("IDLE", _hours("idle_gpu_seconds")),
)
_RUNS: Final[tuple[tuple[str, Cell], ...]] = (
    ("JOBID", _job),
    ("TRY", _count("attempt")),
    ("NAME", _text("name")),
    ("USER", _text("user")),
    ("PROJECT", _text("project")),
    ("ST", _state),
    ("EXIT", _exit),
    ("STARTED", _moment("started")),
    ("ENDED", _moment("ended")),
    ("ELAPSED", _span("elapsed")),
    ("WAIT", _span("wait")),
    ("GPUS", _gpus),
    ("GPU-HOURS", _hours("gpu_seconds")),
    ("PEAK", _size("peak")),
    ("MEAN", _size("mean")),
    ("UTIL", _percent("utilization")),
)
_TOP: Final[tuple[tuple[str, Cell], ...]] = (
    ("JOBID", _count("job")),
    ("NAME", _text("name")),
    ("USER", _text("user")),
    ("PROJECT", _text("project")),
    ("STATE", _text("state")),
    ("RUNS", _count("attempts")),
    ("GPU-HOURS", _hours("gpu_seconds")),
)
_LEFT: Final = frozenset(
    {
        "",
        "USER",
        "PROJECT",
        "GPU",
        "STATE",
        "DAY",
        "JOBID",
        "NAME",
        "ST",
        "STARTED",
        "ENDED",
        "GPUS",
    }
)
_TITLES: Final = {
    "user": "By user", "project": "By project", "gpu": "By GPU", "state": "By state",
    "top": "The largest jobs",
}  # fmt: skip


def _columns(name: str) -> tuple[tuple[str, Cell], ...]:
    if name in ("runs", "top"):
        return _RUNS if name == "runs" else _TOP
    if name == "day":
        return (("DAY", _day), *_SUMS)
    return (("" if name == "total" else name.upper(), _text(name)), *_SUMS)


def shown(
    tables: dict[str, Table], told: dict[str, Any], width: int, *, header: bool = True
) -> list[str]:
    """The lines; ``width`` is that of the terminal, 0 for none. One table has no title."""
    whole = len(tables) > 1
    lines = [f"What ended from {_at(told['since'])} to {_at(told['until'])}"] if whole else []
    for name, (fields, rows) in tables.items():
        if whole and not rows:
            continue
        if name == "hours":
            part = stats_week.lines(rows, colours=width > 0)
        else:
            part = _table(
                name, [dict(zip(fields, row, strict=True)) for row in rows], width, header=header
            )
        title = _TITLES.get(name)
        lines += ["", *([f"{title}:"] if title else []), *part] if whole else part
    return lines


def _table(name: str, rows: list[Row], width: int, *, header: bool) -> list[str]:
    columns = _columns(name)
    names = [column for column, _ in columns]
    cells = [[cell(row) for _, cell in columns] for row in rows]
    if width:
        return _rich(names, cells, width)
    right = frozenset(names) - _LEFT
    lines = table([names, *cells], right)
    return lines if header else lines[1:]


def _rich(names: list[str], cells: list[list[str]], width: int) -> list[str]:
    from rich.console import Console
    from rich.table import Table as Rich
    from rich.text import Text

    made = Rich(box=None, pad_edge=False, header_style="bold")
    for name in names:
        made.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    for row in cells:
        made.add_row(*(Text(cell) for cell in row))
    console = Console(width=width, force_terminal=True, highlight=False)
    with console.capture() as captured:
        console.print(made)
    return [line.rstrip() for line in captured.get().splitlines()]


def as_json(tables: dict[str, Table], told: dict[str, Any]) -> list[str]:
    """One document: each table is a list of objects."""
    import json

    found: dict[str, Any] = dict(told)
    for name, (fields, rows) in tables.items():
        found[name] = [dict(zip(fields, row, strict=True)) for row in rows]
    return [json.dumps(found, indent=1)]


def as_csv(found: Table) -> list[str]:
    """One table as CSV; lists are separated by spaces."""
    import csv
    import io

    fields, rows = found
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return text.getvalue().splitlines()


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, str):
        return visible(value)
    return int(value) if isinstance(value, bool) else value
