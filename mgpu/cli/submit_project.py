"""mgpu_srun: which project a job belongs to."""

from __future__ import annotations

from typing import Any

import click

OPTIONS = (click.option("-P", "--project", metavar="NAME", help="Project that it is counted for."),)


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out of ``options``."""
    project = options.pop("project")
    return {"project": project} if project else {}
