"""The last word about an attempt, from a supervisor, a record or the launcher, as a report."""

from __future__ import annotations

from typing import Any

from mgpu.core import requests
from mgpu.daemon.attemptdir import Key


def report_of(key: Key, message: dict[str, Any]) -> requests.Report:
    """The core's report for a supervisor's, a record's or the launcher's last message."""
    op = message["op"]
    if op == "ended":
        return requests.AttemptEnded(
            *key,
            code=message["code"],
            signal=message["signal"],
            cause=message["cause"],
            detail=message["detail"],
            wall=message["wall"],
            started=message["started_wall"],
        )
    if op == "refused":
        return requests.AttemptRefused(
            *key,
            stage=message["stage"],
            errno=message["errno"],
            detail=message["detail"],
            transient=message["transient"],
        )
    if op == "interrupted":
        return requests.Rebooted(*key)
    return requests.AttemptLost(*key, detail=message["detail"])


def lost(*, ready: bool) -> dict[str, Any]:
    """What is said of an attempt whose supervisor vanished without a word."""
    if ready:
        return {"op": "lost", "detail": ""}  # the core has the words for it
    detail = "the supervisor vanished before the program was started"
    return {"op": "refused", "stage": "supervisor", "errno": 0, "detail": detail, "transient": True}
