"""mgpu_srun: what a job waits for of others, and how often it is run again after a failure."""

from __future__ import annotations

from typing import Any

import click

from mgpu.cli.params import FILLED

_MOST_RETRIES = 1000

OPTIONS = (
    click.option(
        "-d",
        "--dependency",
        type=FILLED,
        metavar="LIST",
        help="Start when these are over, as afterok:12:13,afterany:14 (all of them) or "
        "afterok:12?afterok:13 (one of them). Known are after, afterany, afterok, afternotok, "
        "aftercorr, singleton; 42_7 is a task, @ your newest job, @~1 the one before.",
    ),
    click.option(
        "--kill-on-invalid-dep",
        type=click.Choice(["yes", "no"]),
        default="yes",
        help="Whether it is cancelled when that can never come true. [default: yes]",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0, _MOST_RETRIES),
        metavar="N",
        help="Run it again up to N times when it fails.",
    ),
)


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out of ``options``."""
    given = {
        "dependency": options.pop("dependency"),
        "retries": options.pop("retries"),
        "kill_on_invalid_dep": False if options.pop("kill_on_invalid_dep") == "no" else None,
    }
    return {name: value for name, value in given.items() if value is not None}
