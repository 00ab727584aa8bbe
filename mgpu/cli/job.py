"""mgpu_job: look after jobs that wait or run."""

from __future__ import annotations

from typing import NoReturn

import click

from mgpu import __version__
from mgpu.cli.base import CONTEXT, run
from mgpu.cli.lazy import Commands, LazyGroup

COMMANDS: Commands = {
    "show": ("Tell all of jobs.", "mgpu.cli.job_show", "show"),
    "log": ("Print what a job wrote.", "mgpu.cli.job_log", "log"),
    "redo": ("Submit again what has ended.", "mgpu.cli.job_redo", "redo"),
    "history": ("Tell what happened to a job.", "mgpu.cli.job_history", "history"),
    "env": ("Print the variables of a job.", "mgpu.cli.job_history", "env"),
    "signal": ("Send a signal to jobs that run.", "mgpu.cli.job_signal", "signal"),
    "attach": ("See a job's terminal, and type into it.", "mgpu.cli.job_attach", "attach"),
    "hold": ("Keep waiting jobs from starting.", "mgpu.cli.job_hold", "hold"),
    "release": ("Let held jobs go on.", "mgpu.cli.job_hold", "release"),
    "update": ("Change waiting jobs and arrays.", "mgpu.cli.job_update", "update"),
    "cron": ("Look after recurring jobs.", "mgpu.cli.job_cron", "cron"),
}


@click.group("mgpu_job", cls=LazyGroup, known=COMMANDS, context_settings=CONTEXT)
@click.version_option(__version__, message="%(prog)s %(version)s")
def job() -> None:
    """Look after jobs that wait or run."""


def main() -> NoReturn:
    """The program mgpu_job."""
    run(job)
