"""mgpu_srun: how a job stands beside others."""

from __future__ import annotations

from typing import Any

import click

OPTIONS = (
    click.option("--qos", metavar="CLASS", help="Class of the job, as the machine is configured."),
    click.option(
        "--nice",
        type=click.IntRange(-1000, 1000),
        is_flag=False,
        flag_value=100,
        default=0,
        metavar="[N]",
        help="Take N (100) off the priority.",
    ),
)


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out of ``options``."""
    qos, nice = options.pop("qos"), options.pop("nice")
    options["priority"] = max(-1000, min(1000, options["priority"] - nice))
    return {"qos": qos} if qos else {}
