"""mgpu_job show: all that the scheduler tells of jobs."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import click

from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit, job_names
from mgpu.cli.params import IDS
from mgpu.cli.zone import timezone_option
from mgpu.model.target import Names, on_wire
from mgpu.model.tasks import parse_tasks
from mgpu.model.units import format_duration, format_memory, visible
from mgpu.protocol import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mgpu.client import Client
    from mgpu.model.target import Name

Job = dict[str, Any]
_MOST = 100  # the jobs that one question may name
_PRIVATE = "(private)"


@click.command("show", context_settings=CONTEXT)
@IDS
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
@click.option("--admin", is_flag=True, help="As an administrator: also what is private.")
@timezone_option
@common_options
def show(
    ids: tuple[str, ...], socket: str | None, config: str | None, *, as_json: bool, admin: bool
) -> int:
    """Tell all of jobs, waiting, running or ended: IDS as 42, 42_7, 42_[1-5], 3-9, @."""
    chosen = job_names(ids, _MOST)
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        rows = client.rows({"jobs": list(map(on_wire, chosen)), "scope": "all", "ended": True})
        jobs = [dict(zip(names.JOB_FIELDS, row, strict=True)) for row in rows]
        _add_why(client, jobs)
        _add_logs(client, jobs)
    if as_json:
        emit(json.dumps(jobs, ensure_ascii=False))
    elif jobs:
        emit("\n\n".join("\n".join(_lines(job)) for job in jobs))
    unknown = [on_wire(name) for name in chosen if not any(_is(job, name) for job in jobs)]
    for name in unknown:
        complain(f"job {name}: unknown")
    if unknown:
        complain("mgpu_queue --me --all lists your jobs", label="hint")
    return 1 if unknown else 0


def _is(job: Job, name: Name) -> bool:
    tasks = parse_tasks(job["tasks"])[0] if job["array"] else None
    return Names([name]).has(job["id"], job["array"], tasks)


def _add_why(client: Client, jobs: list[Job]) -> None:
    """Give each job under ``why`` the sentences about it, unless it waits none.

    And the caller's own under ``notify`` what it tells to whom, until it has ended.
    """
    waiting = {job["id"] for job in jobs if job["state"] == "PENDING"}
    asked = [
        job["id"] for job in jobs if job["id"] in waiting or (job["mine"] and not job["ended"])
    ]
    told: dict[int, list[str]] = {}
    targets: dict[int, dict[str, list[str]]] = {}
    for body in _answers(client, names.WHY, asked):
        told |= {row[0]: row[5] for row in body["rows"] if row[0] in waiting}
        targets |= {row[0]: {"events": row[1], "targets": row[2]} for row in body.get("notify", [])}
    for job in jobs:
        job["why"] = told.get(job["id"], [])
        job["notify"] = targets.get(job["id"])


def _add_logs(client: Client, jobs: list[Job]) -> None:
    """Give each job under ``log`` and ``error_log`` where its output goes, if that may be told.

    Tasks that wait together have no file yet; ``error_log`` is for what is apart from the log.
    """
    from mgpu.client.logs import path_of

    answers = _answers(client, names.LOGS, [job["id"] for job in jobs])
    rows = [row for body in answers for row in body["rows"]]
    known = {row["id"]: row for row in rows if not row["array"] or row["tasks"].isdecimal()}
    for job in jobs:
        job["log"] = job["error_log"] = None
        if row := known.get(job["id"]):
            job["log"] = path_of(row, row["restarts"])
            apart = path_of(row, row["restarts"], error=True)
            job["error_log"] = apart if row["error"] else None


def _answers(client: Client, question: str, ids: list[int]) -> Iterator[dict[str, Any]]:
    """What is answered of all jobs: a named array can have more tasks than one question takes."""
    for first in range(0, len(ids), _MOST):
        yield client.request(question, {"jobs": ids[first : first + _MOST]}).body


def _lines(job: Job) -> list[str]:
    """Who, what, where, when and why, one thing on a line; what does not apply is left out."""
    parts = {
        "Job": _name(job),
        **_who(job),
        "State": _state(job),
        **_resources(job),
        **_times(job),
        "Log": job["log"],
        "Errors": job["error_log"],
        "Note": job["note"],
        **_notify(job["notify"]),
    }
    told = [f"{label + ':':<13}{visible(str(text))}" for label, text in parts.items() if text]
    return [*told, *(f"{'Why:' if not at else '':<13}{visible(text)}"
                     for at, text in enumerate(job["why"]))]  # fmt: skip


def _name(job: Job) -> str:
    if not job["array"]:
        return str(job["id"])
    tasks = job["tasks"] if job["tasks"].isdecimal() else f"[{job['tasks']}]"
    return f"{job['array']}_{tasks} (record {job['id']})"


def _who(job: Job) -> dict[str, str]:
    private = {label: job[label.lower()] for label in ("Name", "Command", "Project")}
    shown = {label: _PRIVATE if text is None else text for label, text in private.items()}
    folder = _PRIVATE if job["cwd"] is None else job["cwd"]
    values = " ".join(f"{name}={value}" for name, value in (job["params"] or {}).items())
    return {
        "Name": shown["Name"],
        "User": job["user"],
        "Project": shown["Project"],
        "Class": job["qos"],
        "Command": shown["Command"],
        "Folder": folder,
        "Values": values,
    }


def _state(job: Job) -> str:
    how = ""
    if job["signal"] is not None:
        how = f"signal {job['signal']}"
    elif job["code"] is not None:
        how = f"exit code {job['code']}"
    said = ": ".join(filter(None, (job["reason"], job["detail"])))
    return "; ".join(filter(None, (job["state"], how, said)))


def _resources(job: Job) -> dict[str, str]:
    each = "for itself" if job["gpu_mem"] is None else f"{format_memory(job['gpu_mem'])} each"
    if job["exclusive"] and job["gpu_mem"] is not None:
        each += ", for itself"
    kind = f" of type {job['gpu_type']}" if job["gpu_type"] else ""
    peaks = ", ".join(f"gpu{index} {format_memory(mib)}" for index, mib in job["peak"])
    return {
        "GPUs": f"{job['gpus']}{kind}, {each}" if job["gpus"] else "none",
        "On": ", ".join(f"gpu{index}" for index in job["gpu_ids"]),
        "Peak": peaks,
        "CPUs": str(job["cpus"] or ""),
        "Host memory": format_memory(job["host_mem"]) if job["host_mem"] else "",
    }


def _times(job: Job) -> dict[str, str]:
    limit = format_duration(job["time_limit"]) if job["time_limit"] else "none"
    at_limit = "goes back to the queue" if job["requeue"] else "ends"
    return {
        "Priority": str(job["priority"]),
        "Attempts": f"{job['attempt']} (restarts: {job['restarts']})",
        "Depends on": job["dependency"],
        "Submitted": _moment(job["submitted"]),
        "Not before": _moment(job["begin"]),
        "Started": _moment(job["started"]),
        "Ended": _moment(job["ended"]),
        "Ran": format_duration(job["elapsed"]) if job["started"] else "",
        "Time limit": f"{limit}, then it {at_limit}" if job["time_limit"] else limit,
    }


def _notify(told: dict[str, list[str]] | None) -> dict[str, str]:
    if told is None:
        return {}
    return {"Tells": ", ".join(told["targets"]), "Of": ", ".join(told["events"])}


def _moment(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""
