"""mgpu_info: the GPUs, their memory, and who holds what."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit, run
from mgpu.model.units import format_duration, format_memory, visible

_HEADER = ("GPU", "NAME", "CC", "MEMORY", "RESERVED", "OUTSIDE", "FREE", "JOBS")
_LINKS = {
    "NVLINK": "joined by NVLink",
    "SWITCH": "below the same PCIe switch",
    "NUMA": "at the same NUMA node",
    "SYSTEM": "only across the processors",
}
_RIGHT = frozenset({"MEMORY", "RESERVED", "OUTSIDE", "FREE"})


@click.command("mgpu_info", context_settings=CONTEXT)
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")
@click.option("--topology", is_flag=True, help="How the GPUs reach each other.")
@common_options
def info(*, as_json: bool, topology: bool, socket: str | None, config: str | None) -> None:
    """Show the GPUs: memory, what is reserved, what others use, and whose jobs are there.

    RESERVED is held for jobs of mgpu, OUTSIDE used by processes that mgpu did not start, FREE
    what a job with --mem can still get. CC is the compute capability.
    """
    with connect(socket, config) as client:
        machine = client.request("info").body
    if as_json:
        _write_json(machine)
    elif topology:
        emit("\n".join(_topology(machine)))
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
    return (_name(gpu), visible(gpu["name"]), gpu.get("capability") or "-", *sizes, jobs or "-")


def _name(gpu: dict[str, Any]) -> str:
    return f"gpu{gpu['index']}"


def _topology(machine: dict[str, Any]) -> list[str]:
    """The matrix, and what the words in it mean."""
    matrix = machine.get("topology")
    if not matrix:
        return ["It is not known how the GPUs reach each other."]
    names = [_name(gpu) for gpu in machine["gpus"]]
    width = max(len(word) for word in (*names, *_LINKS))
    rows = [("", *names)]
    rows += [
        (name, *("-" if word == "SELF" else word for word in row))
        for name, row in zip(names, matrix, strict=False)
    ]
    lines = ["  ".join(cell.ljust(width) for cell in row).rstrip() for row in rows]
    used = {word for row in matrix for word in row}
    return [*lines, *(f"{word}: {text}" for word, text in _LINKS.items() if word in used)]


def _holder(row: list[Any]) -> str:
    job, user, gpu_mem, elapsed, state = row
    share = "alone" if gpu_mem is None else format_memory(gpu_mem)
    ending = " ending" if state == "COMPLETING" else ""
    return f"{job} {visible(user)} {share} {format_duration(elapsed or 0)}{ending}"


def _notes(machine: dict[str, Any]) -> list[str]:
    notes = [f"{machine['running']} running, {machine['pending']} waiting"]
    notes += _host(machine.get("host") or {})
    if not machine["gpus"]:
        notes.append("No GPU was found: only jobs with --gpus 0 can run.")
    if machine["backend"] == "simulated":
        notes.append("These GPUs are simulated: jobs get the variables, and no real GPU.")
    return notes


def _host(host: dict[str, int]) -> list[str]:
    """What jobs that named any have of the machine itself."""
    parts = []
    if host.get("cpus_reserved"):
        parts.append(f"{host['cpus_reserved']} of {host['cpus']} CPUs")
    if host.get("memory_reserved"):
        sizes = [format_memory(host[key]) for key in ("memory_reserved", "memory")]
        parts.append(f"{sizes[0]} of {sizes[1]} host memory")
    return [f"reserved for jobs: {', '.join(parts)}"] if parts else []


def _write_json(machine: dict[str, Any]) -> None:
    import json

    emit(json.dumps(machine, indent=1))


def main() -> NoReturn:
    """The program mgpu_info."""
    run(info)
