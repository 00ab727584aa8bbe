"""mgpu_srun: how a job stands beside others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import click

from mgpu.cli.params import FILLED

_NICE = "--nice"
_NICER = "100"

OPTIONS = (
    click.option("--qos", type=FILLED, metavar="CLASS",
                 help="Class of the job, as the machine is configured."),
    click.option(_NICE, type=click.IntRange(-1000, 1000), default=0, metavar="[N]",
                 help=f"Take N ({_NICER}) off the priority."),
)  # fmt: skip


def with_nice(args: list[str], options: Iterable[click.Parameter]) -> list[str]:
    """``args`` with ``--nice=100`` for a bare ``--nice``, as far as they are options.

    click would take the word behind it, often the command, for its value.
    """
    flags = {name for one in options if getattr(one, "is_flag", False) for name in one.opts}
    valued = {name for one in options for name in one.opts} - flags
    at, done = 0, list(args)
    while at < len(done) and re.match(r"-[^-]|--.", done[at]):
        if done[at] == _NICE:
            amount = done.pop(at + 1) if _is_number(done[at + 1 : at + 2]) else _NICER
            done[at] = f"{_NICE}={amount}"
        at += 1 + (done[at] in valued)
    return done


def _is_number(words: list[str]) -> bool:
    return bool(words) and re.fullmatch(r"(?a)-?\d+", words[0]) is not None


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out of ``options``."""
    qos, nice = options.pop("qos"), options.pop("nice")
    options["priority"] = max(-1000, min(1000, options["priority"] - nice))
    return {"qos": qos} if qos else {}
