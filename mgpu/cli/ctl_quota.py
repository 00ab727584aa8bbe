"""mgpu_ctl quota: bound what users, groups and projects hold, queue and use up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit, emit_json, table
from mgpu.cli.ctl import connect_to_look
from mgpu.cli.ctl_reserve import check_accounts
from mgpu.cli.lazy import Words
from mgpu.cli.params import DURATION, JSON, Parsed
from mgpu.model.units import format_duration, format_memory, parse_memory, quoted, visible

_HEADER = ("SUBJECT", "GPUS", "JOBS", "MEMORY", "QUEUED", "GPU-HOURS", "PERIOD", "RENEWED IN")
_RIGHT = frozenset({"GPUS", "JOBS", "MEMORY", "QUEUED", "GPU-HOURS"})
_HOUR = 3600
_NONE = "none"


def _or_none(parse: Callable[[str], int]) -> Callable[[str], object]:
    return lambda text: _NONE if text.strip().lower() == _NONE else parse(text)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{quoted(text)} is no number; write 4, or none for no bound")
    return int(text)


def _hours(text: str) -> int:
    try:
        seconds = round(float(text) * _HOUR)
    except (ValueError, OverflowError):
        seconds = -1
    if seconds < 0:
        raise ValueError(f"{quoted(text)} are no hours; write 100 or 0.5, or none for no bound")
    return seconds


COUNT = Parsed("number", _or_none(_number))
MEMORY = Parsed("size", _or_none(parse_memory))
HOURS = Parsed("hours", _or_none(_hours))


def _subject_options(function: Callable[..., object]) -> Callable[..., object]:
    for option in (
        click.option("--default-project", is_flag=True, help="Each project without its own."),
        click.option("--default-user", is_flag=True, help="Each user without their own."),
        click.option("-P", "--project", metavar="NAME", help="This project."),
        click.option("-g", "--group", metavar="NAME", help="All members of this group together."),
        click.option("-u", "--user", metavar="NAME", help="This user."),
    ):
        function = option(function)
    return function


def _subject(options: dict[str, Any]) -> str:
    given = [f"{kind}:{options[kind]}" for kind in ("user", "group", "project") if options[kind]]
    given += [f"default:{kind}" for kind in ("user", "project") if options[f"default_{kind}"]]
    if len(given) != 1:
        raise click.UsageError("say whose quota: one of --user, --group, --project, --default-user "
                               "and --default-project")  # fmt: skip
    return given[0]


@click.group("quota", cls=Words, context_settings=CONTEXT)
def quota() -> None:
    """Bound what users, groups and projects hold, queue and use up."""


@quota.command("set", context_settings=CONTEXT)
@_subject_options
@click.option("--running-gpus", "--max-running-gpus", "running_gpus", type=COUNT, metavar="N",
              help="GPUs that their jobs hold at a time.")  # fmt: skip
@click.option("--running-jobs", "--max-running-jobs", "running_jobs", type=COUNT, metavar="N",
              help="Jobs that run at a time.")  # fmt: skip
@click.option("--gpu-memory", "gpu_memory", type=MEMORY, metavar="SIZE",
              help="GPU memory at a time: what shared jobs reserve, and whole GPUs.")  # fmt: skip
@click.option("--queued-jobs", "--max-queued-jobs", "queued_jobs", type=COUNT, metavar="N",
              help="Jobs that wait at a time; more are refused.")  # fmt: skip
@click.option("--gpu-hours", "gpu_seconds", type=HOURS, metavar="HOURS",
              help="GPU-hours in each --period; then no job starts until the next.")  # fmt: skip
@click.option("--period", type=DURATION, metavar="TIME",
              help="How long GPU-hours are counted together. [default: 30d]")  # fmt: skip
@common_options
def set_(socket: str | None, config: str | None, **options: Any) -> None:
    """Set bounds; none lifts one, and what is not named stays as it is.

    Over a bound of what runs a job waits, and mgpu_queue says so with the figures. A user or a
    project with a quota of their own is not bound by the default at all.
    """
    subject = _subject(options)
    check_accounts([options["user"]] * bool(options["user"]),
                   [options["group"]] * bool(options["group"]))  # fmt: skip
    names = ("running_gpus", "running_jobs", "gpu_memory", "queued_jobs", "gpu_seconds")
    given = {name: options[name] for name in names if options[name] is not None}
    if not given and options["period"] is None:
        raise click.UsageError("nothing to set: give a bound, as --running-gpus 4; none lifts it")
    lift = [name for name, value in given.items() if value == _NONE]
    bounds = {name: value for name, value in given.items() if value != _NONE}
    fields = {"subject": subject, "lift": lift, "period": options["period"], **bounds}
    with connect(socket, config, admin=True) as client:
        client.request("quota_set", fields)
    emit(f"Set the quota of {visible(subject)}")


@quota.command("remove", context_settings=CONTEXT)
@_subject_options
@common_options
def remove(socket: str | None, config: str | None, **options: Any) -> None:
    """Take a quota back: the default holds again where there is one."""
    subject = _subject(options)
    with connect(socket, config, admin=True) as client:
        client.request("quota_remove", {"subject": subject})
    emit(f"Removed the quota of {visible(subject)}")


@quota.command("list", context_settings=CONTEXT)
@JSON
@common_options
def list_(*, as_json: bool, socket: str | None, config: str | None) -> None:
    """List quotas as what is used of each bound: all for administrators, else those that bind you.

    A dash stands for no bound.
    """
    with connect_to_look(socket, config) as client:
        body = client.request("quota_list").body
    if as_json:
        emit_json({"quotas": body["quotas"]})
        return
    emit("\n".join(table([_HEADER, *(_cells(row, body["now"]) for row in body["quotas"])], _RIGHT)))


def _cells(row: dict[str, Any], now: float) -> tuple[str, ...]:
    hours = row["gpu_hours"] is not None
    return (
        visible(row["subject"]),
        _used(row, "running_gpus", str),
        _used(row, "running_jobs", str),
        _used(row, "gpu_memory", format_memory),
        _used(row, "queued_jobs", str),
        _used(row, "gpu_hours", lambda value: f"{round(value, 2):g}"),
        format_duration(row["period"]) if hours else "-",
        format_duration(row["renewed"] - now) if hours and row["used"] else "-",
    )


def _used(row: dict[str, Any], name: str, write: Callable[[Any], str]) -> str:
    bound = row[name]
    if bound is None:
        return "-"
    return f"{write(row['used'][name])}/{write(bound)}" if row["used"] else write(bound)
