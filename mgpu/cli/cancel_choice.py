"""Which jobs mgpu_cancel means when it is given filters instead of ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mgpu.cli import array_rows, queue_filter
from mgpu.cli.base import user_name
from mgpu.cli.columns import COLUMNS, NOTHING, Row
from mgpu.model.states import ACTIVE, PENDING
from mgpu.model.target import Name
from mgpu.model.tasks import parse_tasks
from mgpu.model.units import visible
from mgpu.protocol.names import JOB_FIELDS

if TYPE_CHECKING:
    from mgpu.client import Client

_ID, _ARRAY, _TASKS, _MINE, _STATE, _USER, _NAME = map(
    JOB_FIELDS.index, ("id", "array", "tasks", "mine", "state", "user", "name")
)
#: Ranges of tasks in one name: longer ones are refused.
_RANGES = 100


def parse_states(text: str) -> list[str]:
    """Names of states that a job can be ended in."""
    found = queue_filter.parse_states(text)
    if text.strip().upper() == "ALL":
        return sorted(ACTIVE)
    for state in found:
        if state not in ACTIVE:
            raise ValueError(f"{state} is the state of jobs that have ended; write PD, R or CG")
    return found


class Choice(NamedTuple):
    """The jobs that are meant, and the names that no such job has."""

    rows: list[Row]
    unknown: list[Name]

    def targets(self) -> list[int | str]:
        """The names of the jobs on the wire."""
        return [name for row in self.rows for name in _targets(row)]

    def number(self) -> int:
        """How many jobs they are, each task of an array being one."""
        return sum(len(_tasks(row)) if row[_ARRAY] else 1 for row in self.rows)


def choose(client: Client, named: list[Name], options: dict[str, Any], *, admin: bool) -> Choice:
    """Those of the caller's jobs, for an administrator of all jobs, that fit."""
    _check_users(options["users"], admin=admin)
    unused = dict.fromkeys(("since", "sort", "limit", "ended"))
    wanted = options | unused | {"me": options["me"] or not admin}
    filters = queue_filter.wire_filters(wanted, named)
    if not named and admin and not options["me"]:
        filters["scope"] = "all"
    rows = queue_filter.chosen(client.rows(filters), named, wanted)
    rows = queue_filter.let_through(rows, wanted)  # to be sure: what is ended stays ended
    rows = [row for row in rows if admin or row[_MINE]]
    if options["signal"] is not None and not named:  # what waits has no process to signal
        rows = [row for row in rows if row[_STATE] != PENDING]
    return Choice(rows, array_rows.missing(named, rows))


def _check_users(users: list[str] | None, *, admin: bool) -> None:
    """Refuse what the scheduler would refuse job by job."""
    if admin or not users:
        return
    own = user_name(os.geteuid())
    for user in users:
        if user != own:
            raise click.UsageError(
                f"--user {visible(user)}: jobs of others are ended with --admin, by administrators"
            )


def described(row: Row) -> str:
    """``42_7 (RUNNING, alice, train)``."""
    (name,) = COLUMNS["i"].cells([row])
    of_others = NOTHING if row[_NAME] is None else visible(row[_NAME])
    return f"{name} ({row[_STATE]}, {visible(row[_USER])}, {of_others})"


def _targets(row: Row) -> Iterator[int | str]:
    """A job by its id, tasks by theirs: the id of an array's record may be that of the array."""
    if not row[_ARRAY]:
        yield row[_ID]
        return
    ranges = str(_tasks(row)).split(",")
    for begin in range(0, len(ranges), _RANGES):
        yield f"{row[_ARRAY]}_[{','.join(ranges[begin : begin + _RANGES])}]"


def _tasks(row: Row) -> Any:
    return parse_tasks(row[_TASKS])[0]
