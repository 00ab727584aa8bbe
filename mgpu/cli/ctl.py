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
    "status": ("Show how the daemon is.", "mgpu.cli.ctl_daemon", "status"),
    "hold": ("Keep jobs from starting.", "mgpu.cli.ctl_jobs", "hold"),
    "release": ("Let held jobs go on.", "mgpu.cli.ctl_jobs", "release"),
    "cancel": ("End jobs.", "mgpu.cli.ctl_jobs", "cancel"),
    "requeue": ("Put running jobs back to the queue.", "mgpu.cli.ctl_jobs", "requeue"),
    "priority": ("Change the priority of jobs.", "mgpu.cli.ctl_jobs", "priority"),
    "limit": ("Bound the running tasks of an array.", "mgpu.cli.ctl_jobs", "limit"),
    "reserve": ("Keep GPUs for some people.", "mgpu.cli.ctl_reserve", "reserve"),
    "quota": ("Bound what users, groups and projects use.", "mgpu.cli.ctl_quota", "quota"),
    "drain": ("Start nothing new, on GPUs or at all.", "mgpu.cli.ctl_gpu", "drain"),
    "resume": ("Start jobs again.", "mgpu.cli.ctl_gpu", "resume"),
    "set-gpus": ("Start new jobs on some GPUs alone.", "mgpu.cli.ctl_gpu", "set_gpus"),
    "show-gpus": ("Show which GPUs are used.", "mgpu.cli.ctl_gpu", "show_gpus"),
    "gpu": ("See and judge who uses GPUs without mgpu.", "mgpu.cli.ctl_gpu", "gpu"),
    "config": ("See the configuration.", "mgpu.cli.ctl_config", "config"),
    "reload": ("Read the configuration again.", "mgpu.cli.ctl_config", "reload"),
    "log-level": ("Write more or less into the log.", "mgpu.cli.ctl_daemon", "log_level"),
    "db": ("Back up, check and restore the queue's database.", "mgpu.cli.ctl_db", "db"),
    "audit": ("Show who changed what.", "mgpu.cli.ctl_audit", "audit"),
    "shutdown": ("End the daemon.", "mgpu.cli.ctl_daemon", "shutdown"),
    "doctor": ("Look for what is not as it should be.", "mgpu.cli.ctl_doctor", "doctor"),
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
