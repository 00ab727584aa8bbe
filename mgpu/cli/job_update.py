"""mgpu_job update."""

from __future__ import annotations

import os

import click

from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit
from mgpu.protocol import names

_MOST_TASKS = 100_000


@click.command("update", context_settings=CONTEXT)
@click.argument("job", type=click.IntRange(1), metavar="ID")
@click.option(
    "--max-concurrent",
    type=click.IntRange(0, _MOST_TASKS),
    required=True,
    metavar="N",
    help="At most N tasks of the array at once; 0 is no bound.",
)
@click.option("--admin", is_flag=True, help="As an administrator: anybody's jobs.")
@common_options
def update(
    job: int, max_concurrent: int, socket: str | None, config: str | None, *, admin: bool
) -> int:
    """Change the array ID. Tasks that run go on."""
    fields = {"job": job, "max_concurrent": max_concurrent}
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        ((_, outcome),) = client.request(names.UPDATE, fields).body["jobs"]
    if outcome == "changed":
        emit(f"Changed job {job}")
        return 0
    complain(f"job {job}: {'has ended' if outcome == 'ended' else 'unknown, or not yours'}")
    return 1
