"""Rows of arrays: those that were asked for, and one for each task.

A queue without arrays does not wait until the model of their tasks is loaded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mgpu.model.states import ENDED
from mgpu.protocol.names import JOB_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mgpu.cli.columns import Row
    from mgpu.model.target import Name, Names
    from mgpu.model.tasks import Tasks

_ID, _ARRAY, _TASKS, _BOUND, _STATE = map(
    JOB_FIELDS.index, ("id", "array", "tasks", "max_concurrent", "state")
)


def missing(names: Sequence[Name], rows: list[Row]) -> list[Name]:
    """The names that none of the rows is about."""
    if not names:
        return []
    from mgpu.model.target import Names, Target
    from mgpu.model.tasks import Tasks

    known = {row[_ID] for row in rows} | {row[_ARRAY] for row in rows}
    tasks = Names(Target(row[_ARRAY], _tasks(row)) for row in rows if row[_ARRAY]).tasks

    def is_known(name: Name) -> bool:
        if isinstance(name, Target):
            return bool(tasks.get(name.job, Tasks(())).meet(name.tasks).ranges)
        return name in known

    return [name for name in names if not is_known(name)]


def narrowed(names: Iterable[Name], rows: list[Row]) -> list[Row]:
    """The rows with only those tasks that were asked for."""
    from mgpu.model.target import Names

    wanted = Names(names)
    return [_narrowed(wanted, row) for row in rows]


def one_each(rows: list[Row]) -> Iterator[Row]:
    """One row for each task."""
    for row in rows:
        if not row[_ARRAY] or row[_TASKS].isdecimal():
            yield row
            continue
        for task in _tasks(row):
            alone = row.copy()
            alone[_TASKS], alone[_BOUND] = str(task), 0
            yield alone


def in_order(rows: list[Row]) -> list[Row]:
    """The rows with the tasks of an array together, in their order; what has ended comes last.

    An array is where the first of its rows is, and so nothing that comes later goes before what
    is not part of any.
    """
    if not any(row[_ARRAY] for row in rows):
        return rows
    places: dict[int, int] = {}
    for row in rows:
        places.setdefault(row[_ARRAY], row[_ID])

    def place(row: Row) -> tuple[bool, int, int]:
        first = re.match(r"\d*", row[_TASKS])
        task = int(first[0]) if first is not None and first[0] else 0
        number = places[row[_ARRAY]] if row[_ARRAY] else row[_ID]
        return row[_STATE] in ENDED, number, task

    return sorted(rows, key=place)


def _narrowed(wanted: Names, row: Row) -> Row:
    named = wanted.tasks.get(row[_ARRAY]) if row[_ARRAY] else None
    if named is None or row[_ID] in wanted.numbers or row[_ARRAY] in wanted.numbers:
        return row
    left = _tasks(row).meet(named)
    return [*row[:_TASKS], str(left), *row[_TASKS + 1 :]] if left.ranges else row


def _tasks(row: Row) -> Tasks:
    from mgpu.model.tasks import parse_tasks

    return parse_tasks(row[_TASKS])[0]
