"""mgpu_info: the GPUs, their memory, and who holds what."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit, run
from mgpu.model.units import format_duration, format_memory, visible

_HEADER = ("GPU", "NAME", "MEMORY", "RESERVED", "OUTSIDE", "FREE", "JOBS")
_RIGHT = frozenset({"MEMORY", "RESERVED", "OUTSIDE", "FREE"})


@click.command("mgpu_info", context_settings=CONTEXT)
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")
@common_options
def info(*, as_json: bool, socket: str | None, config: str | None) -> None:
    """Show the GPUs: memory, what is reserved, what others use, and whose jobs are there.

    RESERVED is held for jobs of mgpu, OUTSIDE used by processes that mgpu did not start, FREE
    what a job with --mem can still get.
    """
    with connect(socket, config) as client:
        machine = client.request("info").body
    if as_json:
        _write_json(machine)
    else:
        emit("\n".join([*_table(machine["gpus"]), *_notes(machine)]))


def _table(gpus: list[dict[str, Any]]) -> list[str]:
    lines = [_HEADER, *map(_cells, gpus)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [_line(line, widths) for line in lines]


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [
        cell.rjust(width) if name in _RIGHT else cell.ljust(width)
        for cell, width, name in zip(cells, widths, _HEADER, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _cells(gpu: dict[str, Any]) -> tuple[str, ...]:
    sizes = (format_memory(gpu[key]) for key in ("total", "reserved", "outside", "free"))
    holders = "; ".join(map(_holder, gpu["jobs"]))
    note = "" if gpu["available"] else f"not available: {gpu['note']}"
    jobs = "; ".join(filter(None, (visible(note), holders)))
    return (f"gpu{gpu['index']}", visible(gpu["name"]), *sizes, jobs or "-")


def _holder(row: list[Any]) -> str:
    job, user, gpu_mem, elapsed, state = row
    share = "alone" if gpu_mem is None else format_memory(gpu_mem)
    ending = " ending" if state == "COMPLETING" else ""
    return f"{job} {visible(user)} {share} {format_duration(elapsed or 0)}{ending}"


def _notes(machine: dict[str, Any]) -> list[str]:
    notes = [f"{machine['running']} running, {machine['pending']} waiting"]
    if not machine["gpus"]:
        notes.append("No GPU was found: only jobs with --gpus 0 can run.")
    if machine["backend"] == "simulated":
        notes.append("These GPUs are simulated: jobs get the variables, and no real GPU.")
    return notes


def _write_json(machine: dict[str, Any]) -> None:
    import json

    emit(json.dumps(machine, indent=1))


def main() -> NoReturn:
    """The program mgpu_info."""
    run(info)
