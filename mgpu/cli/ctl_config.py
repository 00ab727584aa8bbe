"""mgpu_ctl config, reload: which settings hold, where they come from, and reading them again."""

from __future__ import annotations

from typing import Any

import click

from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit, emit_json, table
from mgpu.cli.lazy import Words
from mgpu.model.units import visible

Row = dict[str, Any]


@click.group("config", cls=Words, context_settings=CONTEXT)
def config() -> None:
    """See the configuration that the daemon goes by."""


@config.command("show", context_settings=CONTEXT)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--changed", is_flag=True, help="Only what is not at its default.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@common_options
def show(
    keys: tuple[str, ...], *, changed: bool, as_json: bool, socket: str | None, config: str | None
) -> None:
    """Show each setting's value and where it comes from.

    That is a flag of mgpud, a variable, a line of the file, or the default. KEY is one such as
    scheduling.kill_grace, or a table such as scheduling; without any, all are shown.
    """
    with connect(socket, config, admin=True) as client:
        body = client.request("config").body
    rows = _chosen(body["settings"], keys)
    if changed:
        rows = [row for row in rows if row["from"] != "default" or row["waiting"] is not None]
    if as_json:
        emit_json({"file": body["file"], "settings": rows})
        return
    lines = [("KEY", "VALUE", "FROM"), *map(_cells, rows)]
    emit("\n".join([f"file: {visible(body['file']) or 'none'}", *table(lines)]))


def _chosen(rows: list[Row], keys: tuple[str, ...]) -> list[Row]:
    for key in keys:
        if not any(_is_in(row, key) for row in rows):
            tables = ", ".join(dict.fromkeys(row["key"].partition(".")[0] for row in rows))
            raise click.UsageError(f"there is no setting {key!r}; the tables are {tables}")
    return [row for row in rows if not keys or any(_is_in(row, key) for key in keys)]


def _is_in(row: Row, key: str) -> bool:
    return bool(row["key"] == key or row["key"].startswith(f"{key}."))


def _cells(row: Row) -> tuple[str, str, str]:
    waits = row["waiting"]
    more = f"; {visible(waits)} from the next start on" if waits is not None else ""
    return row["key"], visible(row["value"]), visible(row["from"]) + more


@click.command("reload", context_settings=CONTEXT)
@common_options
def reload(socket: str | None, config: str | None) -> int:
    """Have the daemon read its configuration again.

    A good one is applied as a whole; of one with a problem nothing is. Jobs are not touched.
    """
    with connect(socket, config, admin=True) as client:
        body = client.request("reload").body
    if body["problems"]:
        for problem in body["problems"]:
            complain(problem)
        complain("nothing was changed; the daemon goes on by what it had", label="hint")
        return 1
    emit(f"Applied: {', '.join(body['changed']) or 'nothing is new'}")
    if body["waiting"]:
        emit(f"From the next start of mgpud on: {', '.join(body['waiting'])}")
    return 0
