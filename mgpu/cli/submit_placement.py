"""mgpu_srun: which GPUs, and what of the machine beside them."""

from __future__ import annotations

import re
from typing import Any

import click

from mgpu.cli.params import FILLED, INDICES, MEMORY, Parsed
from mgpu.model.units import parse_capability, quoted

_MOST_GPUS, _MOST_CPUS = 1024, 1 << 16


def parse_gpus(text: str) -> tuple[str, int]:
    """(type, number) of ``2`` or ``a100:2``; the type is empty where none is given."""
    match = re.fullmatch(r"(?a)(?:([^:]+):)?(\d{1,4})", text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is not a number of GPUs; write 2 or a100:2")
    if int(match[2]) > _MOST_GPUS:
        raise ValueError(f"{match[2]} GPUs are too many; the most is {_MOST_GPUS}")
    return match[1] or "", int(match[2])


def _parse_gres(text: str) -> tuple[str, int]:
    """(type, number) of Slurm's ``gpu``, ``gpu:2``, ``gpu:a100`` or ``gpu:a100:2``."""
    name, _, rest = text.strip().partition(":")
    if name != "gpu":
        raise ValueError(f"{quoted(text)} is not known; write gpu:2 or gpu:a100:2")
    counted = re.fullmatch(r"(?a)(.*:)?\d+", rest) is not None
    return parse_gpus(rest if counted else f"{rest}:1" if rest else "1")


OPTIONS = (
    click.option("--gres", type=Parsed("gres", _parse_gres), metavar="gpu[:TYPE][:N]",
                 help="As --gpus, in Slurm's other form."),
    click.option("--gpu-ids", type=INDICES, metavar="INDICES",
                 help="Only these GPUs, as 0,2: all of them, or --gpus of them."),
    click.option("--gpu-type", type=FILLED, metavar="TYPE",
                 help="Only GPUs with this in their name, as a100."),
    click.option("--min-gpu-memory", type=MEMORY, metavar="SIZE",
                 help="Only GPUs with at least so much memory in all."),
    click.option("--min-capability", type=Parsed("capability", parse_capability), metavar="X.Y",
                 help="Only GPUs with at least this compute capability."),
    click.option("-c", "--cpus-per-task", "cpus", type=click.IntRange(1, _MOST_CPUS), metavar="N",
                 help="CPUs that are kept free for the job. [default: not counted]"),
    click.option("--host-mem", type=MEMORY, metavar="SIZE",
                 help="Memory of the machine that is kept free. [default: not counted]"),
)  # fmt: skip


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out; sets the number of ``gpus``."""
    kind, number = _gpus(options.pop("gpus"), options.pop("gres"), options.pop("gpu_type"))
    indices = options.pop("gpu_ids")
    if number is None:
        number = len(indices) if indices else 1
    options["gpus"] = number
    fields = {
        "gpu_type": kind,
        "gpu_ids": indices,
        "min_gpu_total": options.pop("min_gpu_memory"),
        "min_capability": list(options.pop("min_capability") or ()),
        "cpus": options.pop("cpus"),
        "host_mem": options.pop("host_mem"),
    }
    return {name: value for name, value in fields.items() if value}


def _gpus(
    gpus: tuple[str, int] | None, gres: tuple[str, int] | None, kind: str | None
) -> tuple[str, int | None]:
    """The type and, where it is given, the number."""
    if gpus and gres:
        raise click.UsageError("--gpus and --gres say the same thing: give one of them")
    given = gpus or gres
    if given is None:
        return kind or "", None
    if kind and given[0] and kind != given[0]:
        raise click.UsageError(f"--gpu-type {kind} and {given[0]} differ: give one of them")
    return kind or given[0], given[1]
