"""mgpu_srun: which project a job belongs to."""

from __future__ import annotations

from typing import Any

import click

from mgpu.cli.params import FILLED

OPTIONS = (
    click.option("-P", "--project", type=FILLED, metavar="NAME",
                 help="Project that it is counted for."),
)  # fmt: skip


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out of ``options``."""
    project = options.pop("project")
    return {"project": project} if project else {}
