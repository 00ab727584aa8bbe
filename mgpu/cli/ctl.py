"""mgpu_ctl: what administrators do; some of it everybody may look at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import click

from mgpu import __version__
from mgpu.cli.base import CONTEXT, connect, run
from mgpu.cli.lazy import Commands, LazyGroup

if TYPE_CHECKING:
    from mgpu.client import Client

COMMANDS: Commands = {
    "reserve": ("Keep GPUs for some people.", "mgpu.cli.ctl_reserve", "reserve"),
    "quota": ("Bound what users, groups and projects use.", "mgpu.cli.ctl_quota", "quota"),
    "simulate": ("Compare policies on a workload.", "mgpu.cli.ctl_simulate", "simulate"),
}


@click.group("mgpu_ctl", cls=LazyGroup, known=COMMANDS, context_settings=CONTEXT)
@click.version_option(__version__, message="%(prog)s %(version)s")
def ctl() -> None:
    """Administer mgpu. What changes something goes over the administrators' socket."""


def connect_to_look(socket: str | None, config: str | None) -> Client:
    """The scheduler: as an administrator where the caller is one, else as everybody."""
    from mgpu.client import address

    path = address.find(socket, config, admin=True).path
    return connect(socket, config, admin=os.access(path, os.W_OK))


def main() -> NoReturn:
    """The program mgpu_ctl."""
    run(ctl)
