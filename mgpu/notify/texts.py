"""What people read of an event: a line, some more lines, and Slack's form of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mgpu.model.units import format_duration, visible

_VERBS: Final[Mapping[str, str]] = {
    "job_submitted": "was submitted",
    "job_updated": "was changed",
    "job_started": "has started",
    "job_completed": "has completed",
    "job_failed": "has failed",
    "job_cancelled": "was cancelled",
    "job_timeout": "has reached its time limit",
    "job_held": "is held",
    "job_released": "was released",
    "job_requeued": "was put back into the queue",
    "job_time_limit_50": "has used up half of its time limit",
    "job_time_limit_80": "has used up 80 % of its time limit",
    "job_time_limit_90": "has used up 90 % of its time limit",
}
_LINES: Final = {
    "user": "User",
    "name": "Name",
    "project": "Project",
    "state": "State",
    "exit_code": "Exit code",
    "signal": "Signal",
    "detail": "Detail",
    "gpus": "GPUs",
    "attempt": "Attempt",
    "submitted": "Submitted",
    "started": "Started",
    "ended": "Ended",
}
_SLACK: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def subject(body: Mapping[str, Any]) -> str:
    """One line without control characters."""
    return visible(_subject(body))[:200]


def _subject(body: Mapping[str, Any]) -> str:
    event, host = body["event"], body["scheduler"]["host"]
    job, gpu, kept = body.get("job"), body.get("gpu"), body.get("reservation")
    if job is not None:
        return f"Job {job['id']} ({job['name']}) {_VERBS.get(event, event)} on {host}"
    if event == "gpu_fault" and gpu is not None:
        return f"{gpu['name']} of {host} was drained: {body['fault']}"
    if event == "outsider_seen" and gpu is not None:
        return f"Process {body['process']['pid']} outside mgpu uses {gpu['name']} of {host}"
    if event == "gpu_available" and gpu is not None:
        return f"{gpu['name']} of {host} can be used again"
    if kept is not None:
        done = "was made" if event == "reservation_created" else "was cancelled"
        return f"Reservation {kept['id']} ({kept['name']}) on {host} {done}"
    return f"mgpu on {host} has started" if event == "scheduler_online" else f"{event} on {host}"


def letter(body: Mapping[str, Any]) -> str:
    """The text of a mail."""
    return "\n".join([subject(body), "", *map(visible, _lines(body)), ""])


def _lines(body: Mapping[str, Any]) -> Iterator[str]:
    job = body.get("job") or {}
    for name, label in _LINES.items():
        if name in job:
            yield f"{label + ':':<12}{job[name]}"
    if "elapsed" in job:
        yield f"{'Ran:':<12}{format_duration(int(job['elapsed']))}"
    if "time_limit" in job:
        yield f"{'Limit:':<12}{format_duration(int(job['time_limit']))}"
    for name, number in job.get("tasks", {}).items():
        yield f"{'Tasks ' + name + ':':<18}{number}"
    for part in ("gpu", "process", "reservation"):
        for name, value in body.get(part, {}).items():
            yield f"{part} {name}: {value}"
    yield f"{'Event:':<12}{body['event']} at {body['timestamp']}"


def slack(body: Mapping[str, Any]) -> bytes:
    """The body that Slack and what is compatible with it take."""
    job = body.get("job") or {}
    told = [job[name] for name in ("user", "state", "detail") if name in job]
    text = "\n".join(filter(None, [subject(body), visible(", ".join(map(str, told)))]))
    for character, entity in _SLACK.items():
        text = text.replace(character, entity)
    return json.dumps({"text": text}, ensure_ascii=False).encode()
