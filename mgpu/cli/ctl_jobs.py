"""mgpu_ctl hold, release, cancel, requeue, priority, limit: anybody's jobs."""

from __future__ import annotations

import click

from mgpu.cli.base import (
    CONTEXT,
    common_options,
    connect,
    job_names,
    job_number,
    wired,
)
from mgpu.cli.outcomes import NOT_DONE, tell
from mgpu.cli.params import IDS
from mgpu.cli.submit_priority import MOST
from mgpu.protocol import names

_MOST_JOBS = 5000
_MOST_TASKS = 100_000
#: What was not done, in words; all other answers say that it was.
_NOT_DONE = NOT_DONE | {
    "unknown": "there is no such job",
    "waits": "waits already",
    "busy": "is just being started or ended; try again",
    "never": "was submitted with --no-requeue",
}


@click.command("hold", context_settings=CONTEXT)
@IDS
@common_options
def hold(ids: tuple[str, ...], socket: str | None, config: str | None) -> int:
    """Keep waiting jobs of anybody from starting until an administrator releases them."""
    return _change(names.HOLD, "Held", ids, {}, socket, config)


@click.command("release", context_settings=CONTEXT)
@IDS
@common_options
def release(ids: tuple[str, ...], socket: str | None, config: str | None) -> int:
    """Let held jobs of anybody go on."""
    return _change(names.RELEASE, "Released", ids, {}, socket, config)


@click.command("cancel", context_settings=CONTEXT)
@IDS
@common_options
def cancel(ids: tuple[str, ...], socket: str | None, config: str | None) -> int:
    """End jobs of anybody; mgpu_cancel --admin also chooses them by user, state and name."""
    return _change(names.CANCEL, "Cancelled", ids, {}, socket, config)


@click.command("requeue", context_settings=CONTEXT)
@IDS
@common_options
def requeue(ids: tuple[str, ...], socket: str | None, config: str | None) -> int:
    """End running jobs of anybody and put them to the end of the queue, with their numbers."""
    return _change(names.REQUEUE, "Requeued", ids, {}, socket, config)


@click.command("priority", context_settings=CONTEXT)
@IDS
@common_options
@click.option("--to", "priority", type=click.IntRange(-MOST, MOST), required=True, metavar="N",
              help="Higher goes first; more than users may give is fine.")  # fmt: skip
def priority(ids: tuple[str, ...], priority: int, socket: str | None, config: str | None) -> int:
    """Give waiting jobs of anybody another priority."""
    fields: dict[str, object] = {"priority": priority}
    return _change(names.PRIORITY, "Changed", ids, fields, socket, config)


@click.command("limit", context_settings=CONTEXT)
@click.argument("array", metavar="ARRAY")
@click.argument("bound", type=click.IntRange(0, _MOST_TASKS), metavar="N")
@common_options
def limit(array: str, bound: int, socket: str | None, config: str | None) -> int:
    """Let at most N tasks of an ARRAY run at once; 0 lifts the bound. Tasks that run go on.

    Limits of users, groups and projects are quotas: mgpu_ctl quota set.
    """
    number = job_number(array)
    with connect(socket, config, admin=True) as client:
        told = client.request(names.UPDATE, {"job": number, "max_concurrent": bound}).body["jobs"]
    return tell("Changed", told, _NOT_DONE)


def _change(
    operation: str,
    done: str,
    ids: tuple[str, ...],
    fields: dict[str, object],
    socket: str | None,
    config: str | None,
) -> int:
    wanted = wired(job_names(ids, _MOST_JOBS))
    with connect(socket, config, admin=True) as client:
        told = client.request(operation, {"jobs": wanted, **fields}).body["jobs"]
    return tell(done, told, _NOT_DONE)
