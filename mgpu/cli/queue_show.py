"""How mgpu_queue shows jobs: as a table, a tree, JSON, CSV, or counted in groups."""

from __future__ import annotations

import sys
from typing import Any

from mgpu.cli.base import table
from mgpu.cli.columns import DEFAULT, LONG, NOTHING, Format, Row, parse_format
from mgpu.cli.queue_filter import USUAL
from mgpu.model.states import COMPLETING, ENDED, PENDING, RUNNING
from mgpu.model.units import visible
from mgpu.protocol.names import JOB_FIELDS

_AT = {name: index for index, name in enumerate(JOB_FIELDS)}
#: What --group knows.
GROUPS = ("array", "user", "project", "qos", "state")
_COUNTS = ("jobs", "pending", "running", "completing", "ended", "gpus", "gpus_waited_for")
_PRIVATE = "private"
#: Options that say how it looks: the same wherever it goes.
_FORMS = ("group", "as_json", "as_csv", "tree", "layout", "long")
#: Jobs that are drawn as a table on a terminal; more take too long, and nobody looks at them.
_MOST_DRAWN = 500


def lines(rows: list[Row], options: dict[str, Any], width: int) -> list[str]:
    """The jobs as the options ask for them; ``width`` is that of a terminal, or 0."""
    if width and len(rows) <= _MOST_DRAWN and not any(options[name] for name in _FORMS):
        from mgpu.cli import queue_table

        return queue_table.lines(rows, width, header=not options["no_header"])
    shown = _plain(rows, options)
    return [line[:width] for line in shown] if width and options["seconds"] else shown


def _plain(rows: list[Row], options: dict[str, Any]) -> list[str]:
    if options["group"]:
        return _groups(rows, options["group"], options)
    if options["as_json"]:
        return _json("jobs", JOB_FIELDS, rows)
    layout: Format | None = options["layout"]
    header = not options["no_header"]
    if options["as_csv"]:
        return _csv_of_jobs(rows, layout, header=header)
    if options["tree"]:
        return _tree(rows, layout, header=header)
    layout = format_of(options)
    return [*([layout.header()] if header else []), *layout.lines(rows)]


def format_of(options: dict[str, Any]) -> Format:
    """The columns that are asked for."""
    given: Format | None = options["layout"]
    return given or parse_format(LONG if options["long"] else DEFAULT)


def _tree(rows: list[Row], layout: Format | None, *, header: bool) -> list[str]:
    from mgpu.cli import tree

    behind = layout or parse_format(tree.BEHIND)
    plain = "utf" not in (sys.stdout.encoding or "").lower()
    return tree.table(rows, behind, header=header, plain=plain)


def _json(name: str, fields: tuple[str, ...], rows: list[Row]) -> list[str]:
    """One object in all, each row of which is a line: json's own lines take five times as long."""
    import json

    dumps = json.JSONEncoder().encode
    lines = [f" {dumps(dict(zip(fields, row, strict=True)))}," for row in rows]
    if not lines:
        return [f'{{"{name}": []}}']
    lines[-1] = lines[-1].removesuffix(",")
    return [f'{{"{name}": [', *lines, "]}"]


def _csv_of_jobs(rows: list[Row], layout: Format | None, *, header: bool) -> list[str]:
    """All fields under the names that JSON has, or the columns of a format."""
    if layout is None:
        return _csv(JOB_FIELDS, [list(map(_cell, row)) for row in rows], header=header)
    titles = tuple(column.header for column in layout.columns)
    cells = zip(*(column.cells(rows) for column in layout.columns), strict=True)
    return _csv(titles, list(map(list, cells)), header=header)


def _cell(value: Any) -> str:
    """A value as text: nothing where it is not known, the parts of a list with blanks between."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return " ".join([f"{key}={_cell(its)}" for key, its in value.items()])
    if isinstance(value, list):
        return " ".join([_cell(part) for part in value])
    return visible(value) if isinstance(value, str) else str(value)


def _csv(titles: tuple[str, ...], rows: list[list[str]], *, header: bool) -> list[str]:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([titles, *rows] if header else rows)
    return text.getvalue().splitlines()


# -- groups ----------------------------------------------------------------------------------------


def _groups(rows: list[Row], by: str, options: dict[str, Any]) -> list[str]:
    """One line for each group: how many jobs in which state, the GPUs they have and wait for."""
    counted = _counted(rows, by)
    fields = (by, *_COUNTS)
    if options["as_json"]:
        return _json("groups", fields, counted)
    cells = [list(map(_cell, row)) for row in counted]
    if options["as_csv"]:
        return _csv(fields, cells, header=not options["no_header"])
    titles = [name.upper() for name in fields]
    shown = table([titles, *cells], right=[name.upper() for name in _COUNTS])
    return shown[1:] if options["no_header"] else shown


def _counted(rows: list[Row], by: str) -> list[Row]:
    groups: dict[Any, list[int]] = {}
    for row in rows:
        counts = groups.setdefault(_group(row, by), [0] * len(_COUNTS))
        for at, more in enumerate(_counts(row)):
            counts[at] += more
    return [[name, *counts] for name, counts in groups.items()]


def _group(row: Row, by: str) -> Any:
    """The name of the group that a job belongs to."""
    value = row[_AT[by]]
    if by == "array":
        return value or row[_AT["id"]]
    if value is None:
        return _PRIVATE
    return value or (USUAL if by == "qos" else NOTHING)


def _counts(row: Row) -> list[int]:
    """What one row adds to ``_COUNTS``; a row of an array stands for all its tasks."""
    from mgpu.model.tasks import parse_tasks

    state, tasks = row[_AT["state"]], row[_AT["tasks"]]
    many = len(parse_tasks(tasks)[0]) if tasks else 1
    known = [state == PENDING, state == RUNNING, state == COMPLETING, state in ENDED]
    waited = many * row[_AT["gpus"]] if state == PENDING else 0
    held = 0 if state in ENDED else len(row[_AT["gpu_ids"]])
    return [many, *(many * is_so for is_so in known), held, waited]
