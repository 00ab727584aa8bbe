"""mgpu_info: the GPUs, their memory, and who holds what."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from mgpu.cli.base import CONTEXT, common_options, connect, run, user_name
from mgpu.cli.params import JSON

_LINKS = {
    "NVLINK": "joined by NVLink",
    "SWITCH": "below the same PCIe switch",
    "NUMA": "at the same NUMA node",
    "SYSTEM": "only across the processors",
}


@click.command("mgpu_info", context_settings=CONTEXT)
@JSON
@click.option("--topology", is_flag=True, help="How the GPUs reach each other.")
@click.option(
    "--watch",
    "seconds",
    is_flag=False,
    flag_value=2,
    type=click.IntRange(1, 3600),
    metavar="[SECONDS]",
    help="Show it again every so many seconds. [default: 2]",
)
@common_options
def info(*, seconds: int | None, socket: str | None, config: str | None, **how: bool) -> None:
    """Show the GPUs, who holds them, and what comes next.

    RESERVED is held for jobs of mgpu, USED is in use by whomever, FREE is what a job with --mem
    can still get. UTIL is the part of the last moments in which anything ran.

    STATE is available; cleaning (its last job is not gone yet); dirty (something of it stays);
    drained or restricted (by an administrator); fault (of the hardware); or no answer.
    """
    from mgpu.cli import watch

    with connect(socket, config) as client:

        def draw(width: int) -> list[str]:
            return _lines(client.request("info").body, width, **how)

        if seconds is None:
            watch.show(draw)
        else:
            watch.watch(draw, seconds)


def _lines(machine: dict[str, Any], width: int, *, as_json: bool, topology: bool) -> list[str]:
    if as_json:
        import json

        return [json.dumps(machine, indent=1)]
    if topology:
        return _topology(machine)
    from mgpu.cli.info_screen import screen

    return screen(machine, user_name, width)


def _topology(machine: dict[str, Any]) -> list[str]:
    """The matrix, and what the words in it mean."""
    matrix = machine.get("topology")
    if not matrix:
        return ["It is not known how the GPUs reach each other."]
    names = [f"gpu{gpu['index']}" for gpu in machine["gpus"]]
    width = max(len(word) for word in (*names, *_LINKS))
    rows = [("", *names)]
    rows += [
        (name, *("-" if word == "SELF" else word for word in row))
        for name, row in zip(names, matrix, strict=False)
    ]
    lines = ["  ".join(cell.ljust(width) for cell in row).rstrip() for row in rows]
    used = {word for row in matrix for word in row}
    return [*lines, *(f"{word}: {text}" for word, text in _LINKS.items() if word in used)]


def main() -> NoReturn:
    """The program mgpu_info."""
    run(info)
