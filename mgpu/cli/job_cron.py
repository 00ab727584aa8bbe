"""mgpu_job cron: recurring jobs."""

from __future__ import annotations

import os
from typing import Any

import click

from mgpu.cli.base import (
    CONTEXT,
    common_options,
    complain,
    connect,
    emit,
    emit_json,
    record_ids,
    table,
)
from mgpu.cli.lazy import Words
from mgpu.cli.params import IDS, JSON
from mgpu.model.units import visible
from mgpu.protocol import names

_REFUSALS = {
    names.UNKNOWN: "unknown, or not yours",
    "admin": "paused by an administrator, who alone can resume it",
}
_TITLES = ("ID", "USER", "NAME", "CRON", "ZONE", "NEXT", "LAST_JOB", "LEFT_OUT", "NOTE")


@click.group("cron", cls=Words, context_settings=CONTEXT)
def cron() -> None:
    """Look after recurring jobs; mgpu_srun --cron makes them."""


@cron.command("list", context_settings=CONTEXT)
@click.option("--admin", is_flag=True, help="As an administrator: everybody's.")
@JSON
@common_options
def list_(socket: str | None, config: str | None, *, admin: bool, as_json: bool) -> int:
    """List your recurring jobs, when they come next and what became of the last run."""
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        rows = client.request(names.CRONS).body["recurring"]
    if as_json:
        emit_json({"recurring": rows})
        return 0
    emit("\n".join(table([_TITLES, *(_cells(row) for row in rows)])))
    return 0


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    from mgpu.cli.moments import written
    from mgpu.system.zone import zone_named

    due = written(row["next"], zone_named(row["zone"]))
    if row["paused"]:
        due = "paused (admin)" if row["by_admin"] else "paused"
    names_ = (str(row["id"]), visible(row["user"]), visible(row["name"]), row["cron"])
    rest = (str(row["last"] or "-"), str(row["left_out"]), visible(row["note"]) or "-")
    return (*names_, row["zone"] or "-", due, *rest)


def _changing(how: str, done: str, text: str) -> None:
    @cron.command(how, context_settings=CONTEXT, help=text)
    @IDS
    @click.option("--admin", is_flag=True, help="As an administrator: anybody's.")
    @common_options
    def change(ids: tuple[str, ...], socket: str | None, config: str | None, *, admin: bool) -> int:
        fields = {"numbers": record_ids(ids, "recurring job", 5000), "how": how}
        with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
            told = client.request(names.CRON_CHANGE, fields).body["jobs"]
        return _tell(told, done)


def _tell(told: list[tuple[int, str]], done: str) -> int:
    """Say what became of each; 1 if one was not changed."""
    for number, word in told:
        if word in _REFUSALS:
            complain(f"recurring job {number}: {_REFUSALS[word]}")
    changed = [str(number) for number, word in told if word not in _REFUSALS]
    if changed:
        emit(f"{done} recurring job{'s' * (len(changed) > 1)} {', '.join(changed)}")
    return int(len(changed) < len(told))


_changing("pause", "Paused", "Do not submit them until they are resumed.")
_changing("resume", "Resumed", "Submit them again when they are due.")
_changing("remove", "Removed", "Forget them; runs that are queued or running go on.")
