"""Reservations drawn as text: a line for each GPU, a letter for each reservation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from string import ascii_uppercase
from typing import Any
from zoneinfo import ZoneInfo

from mgpu.cli.ctl_reserve import people_of
from mgpu.cli.moments import written
from mgpu.model.units import format_duration, visible

Row = dict[str, Any]
Span = tuple[float, float]

_FREE = "."
_NARROWEST = 24
_HOUR = 3600
_DAY = 24 * _HOUR
_ROUND = (1, 2, 5, 10, 15, 30)
_STEPS = [
    *_ROUND,
    *(minutes * 60 for minutes in _ROUND),
    *(hours * _HOUR for hours in (1, 2, 3, 4, 6, 8, 12)),
    *(days * _DAY for days in (1, 2, 7, 14, 28)),
]
#: The clocks are moved by no more than that.
_MOVED = 2 * _HOUR


def timeline(
    rows: list[Row], gpus: list[int], span: Span, width: int, zone: ZoneInfo | None
) -> list[str]:
    """The lines of the drawing, at most ``width`` wide where that is possible.

    A column shows the reservation that has most of it; one that has only a little of it is shown
    where nothing else is.
    """
    label = max((len(f"gpu{index}") for index in gpus), default=4) + 2
    columns = max(_NARROWEST, width - label - 1)
    each = (span[1] - span[0]) / columns
    marks = dict(zip((row["id"] for row in rows), _letters(), strict=False))
    head = f"{written(span[0], zone)} to {written(span[1], zone)}"
    column = format_duration(each) if each >= 1 else f"{each:.2f} s"
    lines = [f"{head}; one column is {column}", ""]
    lines.append(" " * label + _ruler(span, columns, zone))
    for gpu in gpus:
        lines.append(f"gpu{gpu}".ljust(label) + _bar(gpu, rows, marks, span, columns))
    return [line.rstrip() for line in [*lines, "", *_legend(rows, marks, span, zone)]]


def _letters() -> Iterator[str]:
    yield from ascii_uppercase
    yield from ascii_uppercase.lower()
    while True:
        yield "#"


def _bar(gpu: int, rows: list[Row], marks: dict[int, str], span: Span, columns: int) -> str:
    cells = [_FREE] * columns
    most = [0.0] * columns
    each = (span[1] - span[0]) / columns
    for row in rows:
        for begin, end in _runs(row, span) if gpu in row["gpus"] else ():
            first, last = (begin - span[0]) / each, (end - span[0]) / each
            for at in range(int(first), min(columns, int(last) + 1)):
                share = min(last, at + 1) - max(first, at)
                if share > most[at]:
                    most[at], cells[at] = share, marks[row["id"]]
    return "".join(cells)


def _runs(row: Row, span: Span) -> list[Span]:
    """The parts of its occurrences that are drawn."""
    length = row["end"] - row["start"]
    whole = [(start, start + length) for start in row["starts"]]
    return [(max(a, span[0]), min(b, span[1])) for a, b in whole if a < span[1] and b > span[0]]


def _ruler(span: Span, columns: int, zone: ZoneInfo | None) -> str:
    """Times of day, or days, above the columns in which they begin."""
    each = (span[1] - span[0]) / columns
    step = next((step for step in _STEPS if step / each >= _form(step)[1] + 2), _STEPS[-1])
    form, width = _form(step)
    line = ""
    for tick in _ticks(span, step, zone):
        at = int((tick.timestamp() - span[0]) / each)
        if at >= len(line) + bool(line) and at + width <= columns:
            line = line.ljust(at) + tick.strftime(form)
    return line


def _form(step: int) -> tuple[str, int]:
    """How ticks every ``step`` seconds are written, and how wide that is."""
    if step >= _DAY:
        return "%m-%d", 5
    return ("%H:%M", 5) if step >= 60 else ("%H:%M:%S", 8)


def _ticks(span: Span, step: int, zone: ZoneInfo | None) -> Iterator[datetime]:
    """Round times on the clocks of the zone, within the span."""
    midnight = datetime.fromtimestamp(span[0], zone).replace(
        hour=0, minute=0, second=0, microsecond=0, tzinfo=None
    )
    begun = int(max(0.0, span[0] - _MOVED - midnight.replace(tzinfo=zone).timestamp()) // step)
    for number in range(begun, begun + 100_000):
        tick = (midnight + number * timedelta(seconds=step)).replace(tzinfo=zone)
        if tick.timestamp() >= span[1]:
            return
        if tick.timestamp() >= span[0]:
            yield tick


def _legend(
    rows: list[Row], marks: dict[int, str], span: Span, zone: ZoneInfo | None
) -> Iterator[str]:
    for row in rows:
        runs = _runs(row, span)
        name = f" {visible(row['name'])}" if row["name"] else ""
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        when = f"{written(row['start'], zone)} to {written(row['end'], zone)}"
        text = f"{marks[row['id']]}  reservation {row['id']}{name}: {when}{more}, {people_of(row)}"
        yield text if runs else f"{text} (not in this picture)"
    if not rows:
        yield "There are no reservations."
