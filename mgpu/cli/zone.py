"""On whose clocks times are shown and read: as an option, MGPU_TZ or the configuration says."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from mgpu.model.errors import MgpuError

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

VARIABLE = "MGPU_TZ"
_HELP = "Times on the clocks of this zone, as Europe/Berlin. [default: MGPU_TZ, else as configured]"


class Shown:
    """The zone of this process: ``name`` is empty while it is this shell's.

    ``follows``: it becomes the configured one when a scheduler tells it. A command that submits
    does not, since its variables go to jobs.
    """

    name = ""
    follows = False


def timezone_option(function: Callable[..., object]) -> Callable[..., object]:
    """Add --timezone, and show and read times as it says."""
    how: dict[str, Any] = {"expose_value": False, "is_eager": True, "callback": _chosen}
    return click.option("--timezone", metavar="ZONE", envvar=VARIABLE, help=_HELP, **how)(function)


def _chosen(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    Shown.follows = not value
    if value:
        from mgpu.system.zone import zone_named

        try:
            zone_named(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
        _adopt(value)


def configured(name: str) -> None:
    """A scheduler has told the zone that is configured."""
    from mgpu.system.zone import zone_named

    if name and Shown.follows:
        try:
            zone_named(name)
        except ValueError:
            return  # this machine's tables do not have it: the shell's clocks stay
        _adopt(name)


def _adopt(name: str) -> None:
    Shown.name, Shown.follows = name, False
    os.environ["TZ"] = name
    time.tzset()


def settle() -> None:
    """Hear the configured zone before a time is read, unless another one was chosen."""
    if Shown.follows:
        configured(_told())


def for_wishes(chosen: str | None) -> ZoneInfo | None:
    """The zone that the times of a submission mean; None is this shell's.

    Raises ValueError for an unknown one.
    """
    from mgpu.system.zone import zone_named

    name = chosen or os.environ.get(VARIABLE) or _told()
    return zone_named(name)


def _told() -> str:
    """The configured zone, as the scheduler of the running command tells it."""
    from mgpu.cli.base import where
    from mgpu.client import Client

    told: list[str] = []
    try:
        with Client(*where(click.get_current_context(silent=True)), on_zone=told.append) as client:
            client.greet()
    except MgpuError:
        return ""  # the submission itself will tell
    return told[0] if told else ""
