"""The figures of several policies as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mgpu.simulator.metrics import BIG, Summary, UserSummary

#: Title, and what stands under it.
_COLUMNS: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("jobs", lambda s: str(s.jobs)),
    ("unfinished", lambda s: str(s.unfinished)),
    ("mean wait h", lambda s: _hours(s.mean_wait)),
    ("median h", lambda s: _hours(s.median_wait)),
    ("p95 h", lambda s: _hours(s.p95_wait)),
    (f"p95 h, {BIG}+ GPUs", lambda s: _hours(s.big_p95_wait)),
    ("slowdown", lambda s: f"{s.mean_slowdown:.1f}"),
    ("Jain", lambda s: f"{s.jain:.3f}"),
    ("used", lambda s: f"{s.utilisation:.1%}"),
)


def table(results: Mapping[str, Summary]) -> str:
    """One line for each policy."""
    rows = [["policy", *(title for title, _ in _COLUMNS)]]
    rows += [[name, *(show(s) for _, show in _COLUMNS)] for name, s in results.items()]
    return _align(rows)


def users_table(results: Mapping[str, Summary]) -> str:
    """One line for each user, with the mean wait and slowdown under each policy."""
    names = sorted({user for summary in results.values() for user in summary.users})
    heads = [title for name in results for title in (f"{name}: wait h", "slowdown")]
    rows = [["user", *heads]]
    for user in names:
        cells = (cell for s in results.values() for cell in _user(s.users.get(user)))
        rows.append([user, *cells])
    return _align(rows)


def to_json(results: Mapping[str, Summary]) -> str:
    """Everything, by policy; times are seconds."""
    return json.dumps({name: _plain(s) for name, s in results.items()}, indent=2) + "\n"


def _plain(summary: Summary) -> dict[str, Any]:
    users = {name: user._asdict() for name, user in summary.users.items()}
    return {**summary._asdict(), "users": users}


def _user(summary: UserSummary | None) -> tuple[str, str]:
    if summary is None:
        return "-", "-"
    return _hours(summary.mean_wait), f"{summary.mean_slowdown:.1f}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f}"


def _align(rows: list[list[str]]) -> str:
    """Columns two spaces apart: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines) + "\n"
