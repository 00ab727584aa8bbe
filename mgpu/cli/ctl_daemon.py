"""mgpu_ctl status, log-level, shutdown: how the daemon is, what it says, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit, emit_json
from mgpu.cli.ctl import connect_to_look
from mgpu.cli.moments import written
from mgpu.cli.zone import timezone_option
from mgpu.model.units import format_wait, visible

Row = dict[str, Any]

_MODES = {
    "normal": "normal",
    "drained": "drained: no job is started",
    "stopping": "stopping: no job is started, and mgpud ends when none runs",
    "recovery": "RECOVERY: the state cannot be read, and nothing is changed",
}


@click.command("status", context_settings=CONTEXT)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@timezone_option
@common_options
def status(*, as_json: bool, socket: str | None, config: str | None) -> int:
    """Show how the daemon is: version, mode, GPUs, queue and, to administrators, its last error.

    The exit status is 1 in recovery mode.
    """
    with connect_to_look(socket, config) as client:
        body = client.request("status").body
    if as_json:
        emit_json(body)
    else:
        emit("\n".join(f"{name + ':':<12}{visible(text)}" for name, text in _lines(body)))
    return int(body["mode"] == "recovery")


def _lines(body: Row) -> Iterator[tuple[str, str]]:
    yield "version", f"{body['version']}, up for {format_wait(body['uptime'])}"
    detail = f" ({body['detail']})" if body["detail"] else ""
    mode = str(body["mode"])
    yield "mode", f"{_MODES.get(mode, mode)}{detail}"
    gpus, queue = body["gpus"], body["queue"]
    driver = f", driver {body['driver']}" if body["driver"] else ""
    known = f"{gpus['all']} ({body['backend']}{driver})"
    yield "GPUs", f"{known}: {gpus['available']} given out, {gpus['held']} held by jobs"
    held = f", {queue['held']} of them held" if queue["held"] else ""
    yield "jobs", f"{queue['running']} run, {queue['waiting']} wait{held}"
    if "log_level" in body:
        yield from _of_control(body)


def _of_control(body: Row) -> Iterator[tuple[str, str]]:
    waits = ", ".join(body["waiting"])
    more = f"; from the next start on: {waits}" if waits else ""
    yield "config", (body["config"] or "no file: the defaults") + more
    yield "log", body["log_level"]
    error = body["last_error"]
    yield "last error", f"{written(error['at'], None)} {error['text']}" if error else "none"


@click.command("log-level", context_settings=CONTEXT)
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error"]))
@common_options
def log_level(level: str, socket: str | None, config: str | None) -> None:
    """Write more or less into the log, until mgpud is started or its configuration read again."""
    with connect(socket, config, admin=True) as client:
        client.request("log_level", {"level": level})
    emit(f"The log has {level} and above")


@click.command("shutdown", context_settings=CONTEXT)
@click.option("--drain", "how", flag_value="drain", help="Start no job; end when none runs.")
@click.option("--cancel", "how", flag_value="cancel", help="End the jobs that run, then mgpud.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for those who wonder.")
@common_options
def shutdown(how: str | None, reason: str, socket: str | None, config: str | None) -> None:
    """End mgpud. Without an option it ends at once, and the jobs that run go on.

    Jobs that wait stay in the queue. mgpu_ctl resume takes --drain back. With socket activation
    systemd starts mgpud again for the next command: systemctl stop mgpu.socket prevents it.
    """
    with connect(socket, config, admin=True) as client:
        client.request("shutdown", {"how": how or "now", "reason": reason})
    emit({
        "drain": "No job is started any more; mgpud ends when none runs",
        "cancel": "Ending the jobs that run, then mgpud",
    }.get(how or "", "Stopping mgpud; jobs go on"))  # fmt: skip
