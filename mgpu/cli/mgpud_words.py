"""The words of ``mgpud`` and their options; what they do is loaded when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from mgpu.cli.base import CONTEXT_WITH_H


class Question(NamedTuple):
    """What is asked about one setting; ``option`` answers it on the command line."""

    key: str
    option: str
    text: str
    metavar: str


QUESTIONS = (
    Question("gpus.backend", "backend", "Which GPUs: auto, nvml or simulated", "BACKEND"),
    Question("gpus.simulated", "simulated", "Simulated GPUs, as 2x16G", "COUNTxSIZE"),
    Question("gpus.devices", "gpus", "GPUs that jobs are started on: all, or as 0-1,3", "INDICES"),
    Question("access.group", "group", 'Group that may submit jobs; "" is everybody', "GROUP"),
    Question("access.admin_group", "admin_group", "Group of the administrators", "GROUP"),
    Question("access.min_uid", "min_uid", "First uid that may run jobs", "UID"),
    Question("scheduling.max_job_time", "max_job_time",
             "Longest run of a job in one go, as 12h; 0 is no limit", "DURATION"),
    Question("paths.runtime_dir", "runtime_dir", "Folder of the sockets", "DIR"),
    Question("paths.state_dir", "state_dir", "Folder of the queue's database", "DIR"),
)  # fmt: skip


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for one in reversed(QUESTIONS):
        name = "--" + one.option.replace("_", "-")
        option = click.option(name, one.option, metavar=one.metavar, help=f"{one.text}.")
        function = option(function)
    return function


def _named(_context: click.Context, _parameter: click.Parameter, file: str | None) -> str | None:
    """The file as given: an empty name comes from a variable that is not set, and means none."""
    if file == "":
        raise click.BadParameter("the name is empty; name a file, or leave it out")
    return file


@click.command("check", context_settings=CONTEXT_WITH_H)
@click.argument("file", type=click.Path(), required=False, callback=_named)
def check(file: str | None) -> None:
    """Judge a configuration file: every problem with its line and what to do about it.

    Without FILE it is the one that MGPU_CONFIG names, else /etc/mgpu/config.toml. What it names and
    this machine does not have (users, groups) is noted, and is no problem of the file; so are
    webhooks that lead to addresses which are not public. For these, names are looked up.
    """
    from mgpu.cli.mgpud_run import judge

    judge(file)


@click.command("init", context_settings=CONTEXT_WITH_H)
@click.argument("file", type=click.Path(), required=False, callback=_named)
@click.option("--yes", is_flag=True, help="Ask nothing: options, then the file, then proposals.")
@click.option(
    "--force", is_flag=True, help="Write anew; the old file is kept: FILE.old, FILE.old.2 ..."
)
@_options
def init(file: str | None, *, yes: bool, force: bool, **given: str | None) -> None:
    """Write a configuration that fits this machine, or change the one there is.

    Looks for GPUs, groups and a daemon that runs, and asks about what it proposes. An existing FILE
    keeps its comments and all that is not asked about; where it is a link, the file that it leads
    to is changed. Nothing is written that mgpud would refuse.
    """
    from mgpu.cli.mgpud_init import configure

    configure(file, given, yes=yes, force=force)


@click.command("end-jobs", context_settings=CONTEXT_WITH_H)
@click.option("--stop", is_flag=True, help="Stop the daemon first, if it runs.")
@click.option(
    "--timeout", type=click.IntRange(0), default=240, show_default=True, metavar="SECONDS",
    help="How long to wait until they have ended.",
)  # fmt: skip
@click.pass_context
def end_jobs(context: click.Context, /, *, stop: bool, timeout: int) -> None:
    """End all running jobs, so that they go on, from the queue, when mgpu is back.

    Jobs are told with SIGTERM and have scheduling.kill_grace to save their state. This is for a
    machine or a container that goes down. A daemon that still runs would start the next ones:
    mgpu-jobs.service calls this after it has ended; elsewhere say --stop.
    """
    from mgpu.cli import mgpud_run

    mgpud_run.end_jobs(_config(context), stop=stop, timeout=timeout)


@click.command("hold-jobs", hidden=True)
@click.pass_context
def hold_jobs(context: click.Context) -> None:
    """Keep the control group of mgpu-jobs.service in being; that unit calls it."""
    from mgpu.cli import mgpud_run

    mgpud_run.hold_jobs(_config(context))


def _config(context: click.Context) -> str | None:
    """The configuration that was named before the word."""
    named: str | None = (context.parent or context).params["config"]
    return named
