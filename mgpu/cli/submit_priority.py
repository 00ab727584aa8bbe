"""mgpu_srun: how a job stands beside others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import click

from mgpu.cli.params import FILLED

MOST = 1000
_NICE = "--nice"
_NICER = "100"

#: What ``mgpu_job update`` has as well.
NICE = click.option(_NICE, type=click.IntRange(-MOST, MOST), default=None, metavar="[N]",
                    help=f"Take N ({_NICER}) off the priority.")  # fmt: skip
OPTIONS = (
    click.option("--qos", type=FILLED, metavar="CLASS",
                 help="Class of the job, as the machine is configured."),
    NICE,
)  # fmt: skip


def lowered(priority: int, nice: int) -> int:
    """The priority that is left, within what there is."""
    return max(-MOST, min(MOST, priority - nice))


def with_nice(
    args: list[str], options: Iterable[click.Parameter], *, interspersed: bool = False
) -> list[str]:
    """``args`` with ``--nice=100`` for a bare ``--nice``, as far as they are options.

    click would take the word behind it, often the command, for its value. Options end at the
    first other word unless they are ``interspersed``.
    """
    flags = {name for one in options if getattr(one, "is_flag", False) for name in one.opts}
    valued = {name for one in options for name in one.opts} - flags
    at, done = 0, list(args)
    while at < len(done) and (interspersed or re.match(r"-[^-]|--.", done[at])):
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
    options["priority"] = lowered(options["priority"], nice or 0)
    return {"qos": qos} if qos else {}
