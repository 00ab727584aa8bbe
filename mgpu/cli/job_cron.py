"""mgpu_job cron: recurring jobs."""

from __future__ import annotations

from typing import Any

import click

from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit, job_ids
from mgpu.model.units import visible
from mgpu.protocol import names

_TITLES = ("ID", "USER", "NAME", "CRON", "ZONE", "NEXT", "LAST_JOB", "LEFT_OUT", "NOTE")


@click.group("cron", context_settings=CONTEXT)
def cron() -> None:
    """Look after recurring jobs; mgpu_srun --cron makes them."""


@cron.command("list", context_settings=CONTEXT)
@click.option("--admin", is_flag=True, help="As an administrator: everybody's.")
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")
@common_options
def list_(socket: str | None, config: str | None, *, admin: bool, as_json: bool) -> int:
    """List your recurring jobs, when they come next and what became of the last run."""
    with connect(socket, config, admin=admin) as client:
        rows = client.request(names.CRONS).body["recurring"]
    if as_json:
        import json

        emit(json.dumps({"recurring": rows}, indent=1))
        return 0
    table = [_TITLES, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        emit("  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip())
    return 0


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    from mgpu.cli.moments import written, zone_named

    due = "paused" if row["paused"] else written(row["next"], zone_named(row["zone"]))
    names_ = (str(row["id"]), visible(row["user"]), visible(row["name"]), row["cron"])
    rest = (str(row["last"] or "-"), str(row["left_out"]), visible(row["note"]) or "-")
    return (*names_, row["zone"] or "-", due, *rest)


def _changing(how: str, text: str) -> None:
    @cron.command(how, context_settings=CONTEXT, help=text)
    @click.argument("ids", nargs=-1, required=True, metavar="IDS")
    @click.option("--admin", is_flag=True, help="As an administrator: anybody's.")
    @common_options
    def change(ids: tuple[str, ...], socket: str | None, config: str | None, *, admin: bool) -> int:
        fields = {"numbers": job_ids(ids, 5000), "how": how}
        with connect(socket, config, admin=admin) as client:
            told = client.request(names.CRON_CHANGE, fields).body["jobs"]
        for number in [number for number, word in told if word == names.UNKNOWN]:
            complain(f"recurring job {number}: unknown, or not yours")
        return 1 if all(word == names.UNKNOWN for _, word in told) else 0


_changing("pause", "Do not submit them until they are resumed.")
_changing("resume", "Submit them again when they are due.")
_changing("remove", "Forget them; runs that are queued or running go on.")
