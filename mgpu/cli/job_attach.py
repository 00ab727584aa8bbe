"""mgpu_job attach: see a job's terminal, and type into it."""

from __future__ import annotations

import click

from mgpu.cli.base import CONTEXT, common_options, connect, job_name


@click.command("attach", context_settings=CONTEXT)
@click.argument("job", metavar="ID")
@click.option("--read-only", is_flag=True, help="Only look; Ctrl-C detaches.")
@common_options
def attach(job: str, socket: str | None, config: str | None, *, read_only: bool) -> int:
    """Show the terminal of a job of --interactive here; several may, at once.

    Ctrl-\\ d detaches and leaves the job to run. Returns the job's code when it ends.
    """
    from mgpu.cli.interactive import attend, need_terminal

    need_terminal("mgpu_job attach", f"mgpu_job log -f {job}")
    number = job_name(job)
    if not isinstance(number, int):
        raise click.UsageError(f"{job} is a task of an array: those have no terminal")
    with connect(socket, config) as client:
        return attend(client, number, again=True, read_only=read_only)
