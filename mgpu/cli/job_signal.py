"""mgpu_job signal; mgpu_cancel --signal sends in the same way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit, job_names, wired
from mgpu.cli.params import ADMIN, IDS, Parsed, signal_number
from mgpu.protocol import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mgpu.client import Client

_MOST = 1000
_WORDS = {
    names.WAITING: "has not started: no process is there to get it",
    names.ALREADY_ENDED: "has ended",
    names.UNREACHED: "is starting or ending just now; try again",
    names.UNKNOWN: "unknown, or not yours",
}
SIGNAL_NUMBER = Parsed("signal", signal_number)


@click.command("signal", context_settings=CONTEXT)
@IDS
@click.argument("number", type=SIGNAL_NUMBER, metavar="SIGNAL")
@click.option("-b", "--batch", is_flag=True, help="Its first process alone: the script, the shell.")
@ADMIN
@common_options
def signal(
    ids: tuple[str, ...],
    number: int,
    socket: str | None,
    config: str | None,
    *,
    batch: bool,
    admin: bool,
) -> int:
    """Send SIGNAL (USR1, SIGINT, 10) to all processes of jobs that run: IDS as 42, 42_7, 3-9, @."""
    wanted = wired(job_names(ids))
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        return deliver(client, wanted, number, leader=batch)


def deliver(client: Client, jobs: Sequence[int | str], number: int, *, leader: bool) -> int:
    """Send a signal and say what became of it; 1 where not every job got it."""
    told: dict[int | str, str] = {}
    for begin in range(0, len(jobs), _MOST):
        batch = list(jobs[begin : begin + _MOST])
        fields: dict[str, object] = {"jobs": batch, "signal": number, "leader": leader}
        told |= dict(client.request(names.SIGNAL, fields).body["jobs"])
    for job, how in told.items():
        if how == names.SIGNALLED:
            emit(f"Sent {_name(number)} to job {job}")
        else:
            complain(f"job {job}: {_WORDS.get(how, how)}")
    return int(any(how != names.SIGNALLED for how in told.values()))


def _name(number: int) -> str:
    import signal as known

    try:
        return known.Signals(number).name
    except ValueError:
        return f"signal {number}"
