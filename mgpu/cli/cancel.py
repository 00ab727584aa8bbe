"""mgpu_cancel: end jobs."""

from __future__ import annotations

import os
from typing import NoReturn

import click

from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit, job_names, run
from mgpu.model.target import on_wire

_OUTCOMES = {
    "cancelled": "Cancelled job {}",
    "cancelling": "Cancelling job {}: its processes are being ended",
    "ended": "Job {} has ended already",
}


@click.command("mgpu_cancel", context_settings=CONTEXT)
@click.option("--admin", is_flag=True, help="As an administrator: jobs of other users too.")
@common_options
@click.argument("jobs", nargs=-1, required=True, metavar="JOBS...")
def cancel(*, jobs: tuple[str, ...], admin: bool, socket: str | None, config: str | None) -> int:
    """End your jobs JOBS, given as 3, 3,4 or 3-5; tasks of an array as 42_7 or 42_[1-5,9].

    A waiting job leaves the queue; a running one gets SIGTERM, and SIGKILL after the grace.
    Repeating it is harmless.
    """
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        outcomes = client.cancel(*map(on_wire, job_names(jobs)))
    return max([_report(job, outcome) for job, outcome in outcomes.items()], default=0)


def _report(job: int | str, outcome: str) -> int:
    sentence = _OUTCOMES.get(outcome)
    if sentence is None:
        complain(f"job {job}: unknown, or not yours")
        return 1
    emit(sentence.format(job))
    return 0


def main() -> NoReturn:
    """The program mgpu_cancel."""
    run(cancel)
