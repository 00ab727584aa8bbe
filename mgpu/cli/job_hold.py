"""mgpu_job hold and release."""

from __future__ import annotations

import os

import click

from mgpu.cli import zone
from mgpu.cli.base import CONTEXT, common_options, connect, job_names, wired
from mgpu.cli.outcomes import NOT_DONE, tell
from mgpu.cli.params import ADMIN, IDS
from mgpu.cli.zone import timezone_option
from mgpu.protocol import names

_MOST = 5000
_NOT_DONE = NOT_DONE | {"admin": "held by an administrator, who alone can release it"}


@click.command("hold", context_settings=CONTEXT)
@IDS
@ADMIN
@common_options
def hold(ids: tuple[str, ...], socket: str | None, config: str | None, *, admin: bool) -> int:
    """Keep waiting jobs from starting: IDS as 42, 42_7, 42_[1-5], 3-9, @."""
    return _change(names.HOLD, ids, {}, socket, config, admin=admin)


@click.command("release", context_settings=CONTEXT)
@IDS
@click.option("--at", "begin", metavar="WHEN", help="Not before: now+2h, 16:00, tomorrow 9:00.")
@ADMIN
@timezone_option
@common_options
def release(
    ids: tuple[str, ...], begin: str | None, socket: str | None, config: str | None, *, admin: bool
) -> int:
    """Let held jobs go on: IDS as 42, 42_7, 42_[1-5], 3-9, @."""
    if begin is not None:
        zone.settle()
    fields: dict[str, object] = {} if begin is None else {"begin": _moment(begin)}
    return _change(names.RELEASE, ids, fields, socket, config, admin=admin)


def _moment(text: str) -> int:
    from mgpu.cli.moments import moment
    from mgpu.system import clock

    try:
        return moment(text, None, clock.now().wall)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--at") from error


def _change(
    operation: str,
    ids: tuple[str, ...],
    fields: dict[str, object],
    socket: str | None,
    config: str | None,
    *,
    admin: bool,
) -> int:
    wanted = wired(job_names(ids, _MOST))
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        told = client.request(operation, {"jobs": wanted, **fields}).body["jobs"]
    return tell("Held" if operation == names.HOLD else "Released", told, _NOT_DONE)
