"""mgpu_job history and env: what happened to a job, and the variables that it gets."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit, job_name, user_name
from mgpu.cli.zone import timezone_option
from mgpu.model.target import on_wire
from mgpu.model.units import visible
from mgpu.protocol import names

_WORDS = {
    "Submitted": "submitted", "Started": "started", "Launched": "running", "Split": "split",
    "CancelRequested": "cancel requested", "Deferred": "start put off", "Requeued": "requeued",
    "Finished": "ended", "PriorityChanged": "priority changed", "Held": "held",
    "Released": "released", "DependencyChanged": "dependency changed", "Refused": "given up",
    "Preempted": "switched out", "Retried": "to be tried again", "Extended": "extended",
    "Evicted": "put out", "Measured": "memory measured", "Noted": "noted", "Altered": "changed",
}  # fmt: skip
_FIELDS = ("at", "event", "attempt", "uid", "text")
_ADMIN = click.option("--admin", is_flag=True, help="As an administrator: anybody's job.")


@click.command("history", context_settings=CONTEXT)
@click.argument("job", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
@_ADMIN
@timezone_option
@common_options
def history(
    job: str, socket: str | None, config: str | None, *, as_json: bool, admin: bool
) -> None:
    """Tell what has happened to a job: ID as 42, 42_7, @."""
    wanted = on_wire(job_name(job))
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        rows = client.request(names.HISTORY, {"jobs": [wanted]}).body["rows"]
    events = [dict(zip(_FIELDS, row, strict=True)) for row in rows]
    if as_json:
        import json

        emit(json.dumps(events, ensure_ascii=False))
        return
    emit("\n".join(map(_line, events)))


def _line(event: dict[str, Any]) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
    attempt = f"attempt {event['attempt']}" if event["attempt"] else ""
    who = f"by {user_name(event['uid'])}" if event["uid"] >= 0 else ""
    said = "; ".join(filter(None, (attempt, who, event["text"])))
    return f"{moment}  {_WORDS.get(event['event'], event['event']):<18} {visible(said)}".rstrip()


@click.command("env", context_settings=CONTEXT)
@click.argument("job", metavar="ID")
@click.option("-0", "--null", is_flag=True, help="End each with a NUL byte and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON map.")
@common_options
def env(job: str, socket: str | None, config: str | None, *, null: bool, as_json: bool) -> None:
    """Print the variables that your job was submitted with: ID as 42, 42_7, @.

    Those that mgpu adds when it runs, as CUDA_VISIBLE_DEVICES, are not among them. Nobody else is
    told, administrators included.
    """
    wanted = on_wire(job_name(job))
    with connect(socket, config) as client:
        spec = client.request(names.SUBMISSION, {"jobs": [wanted]}).body["spec"]
    entries = sorted(os.fsdecode(entry) for entry in spec["env"])
    if as_json:
        import json

        pairs = [entry.partition("=") for entry in entries]
        emit(json.dumps({name: value for name, _, value in pairs}))
    elif null:
        click.echo(b"".join(entry + b"\0" for entry in sorted(spec["env"])), nl=False)
    elif entries:
        emit("\n".join(map(visible, entries)))
