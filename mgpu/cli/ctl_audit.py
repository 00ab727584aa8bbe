"""mgpu_ctl audit: who asked for what, and what came of it."""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING, Any

import click

from mgpu.cli.base import (
    CONTEXT,
    common_options,
    connect,
    emit,
    emit_json,
    job_number,
    table,
    user_name,
)
from mgpu.cli.moments import moment, written
from mgpu.cli.params import words
from mgpu.cli.zone import timezone_option
from mgpu.model.units import parse_duration, visible

if TYPE_CHECKING:
    from mgpu.client import Client

Row = dict[str, Any]

#: Characters of a cell; JSON has all.
_WIDEST = 64


@click.command("audit", context_settings=CONTEXT)
@click.option("--since", metavar="WHEN", help="2026-12-24T18:00, today, or a span back, as 2d.")
@click.option("--until", metavar="WHEN", help="Up to then.")
@click.option("-u", "--user", "users", metavar="NAMES", help="Only what these asked for.")
@click.option("--op", "ops", metavar="WORDS", help="Only these, as cancel,reload.")
@click.option("--job", metavar="ID", help="Only what was about this job, as 42 or @.")
@click.option("--refused", is_flag=True, help="Only what was refused, or did not do all.")
@click.option("-n", "--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N",
              help="The newest N of them.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@timezone_option
@common_options
def audit(*, socket: str | None, config: str | None, as_json: bool, **options: Any) -> None:
    """Show who asked for a change, when, and what came of it; the newest last.

    Everything that changes jobs, GPUs, reservations, quotas or the daemon is kept, allowed or not.
    Long lists of jobs are cut here, with "..." at the end; --json has them.
    """
    from mgpu.cli import zone
    from mgpu.system import clock

    zone.settle()
    fields = _fields(options, clock.now().wall)
    with connect(socket, config, admin=True) as client:
        rows = _rows(client, fields, options["limit"])
    rows.reverse()
    for row in rows:
        row["user"] = user_name(row["uid"])
    if as_json:
        emit_json({"entries": rows})
        return
    emit("\n".join(table([("TIME", "USER", "WHAT", "ABOUT", "RESULT"), *map(_cells, rows)])))


def _fields(options: Row, now: float) -> Row:
    fields: Row = {"refused": options["refused"]}
    for name in ("since", "until"):
        if options[name] is not None:
            fields[name] = _moment(options[name], now, name)
    if options["users"]:
        fields["users"] = [_uid(name) for name in words(options["users"])]
    if options["ops"]:
        fields["ops"] = [word.replace("-", "_") for word in words(options["ops"])]
    if options["job"] is not None:
        fields["job"] = job_number(options["job"])
    return fields


def _rows(client: Client, fields: Row, limit: int) -> list[Row]:
    """The newest entries; each answer is about a part of all events."""
    rows: list[Row] = []
    before = 0
    while True:
        body = client.request("audit", fields | {"before": before}).body
        rows += body["rows"]
        before = body["next"]
        if not before or len(rows) >= limit:
            return rows[:limit]


def _moment(text: str, now: float, name: str) -> int:
    try:
        return max(0, int(now) - parse_duration(text))
    except ValueError:
        pass
    try:
        return moment(text, None, now)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"--{name}") from error


def _uid(name: str) -> int:
    if name.isascii() and name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise click.BadParameter(f"there is no user {name!r}", param_hint="--user") from None


def _cells(row: Row) -> tuple[str, ...]:
    texts = (row["user"], row["op"].replace("_", "-"), row["about"] or "-", row["result"])
    return (written(row["at"], None), *map(_short, map(visible, texts)))


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
