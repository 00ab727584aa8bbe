"""A fake scheduler and a way to run a command against it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import pytest

from mgpu.cli import base, zone
from mgpu.client import transport
from mgpu.protocol.names import JOB_FIELDS
from tests.lib.fake_server import FakeServer, Message

#: 2026-01-02 03:04:05 UTC
MOMENT = 1767323045.0
Run = Callable[..., int]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A trusted server, a fixed width and a fixed time zone."""
    monkeypatch.setattr(transport, "_uid_of", lambda _user: os.getuid())
    monkeypatch.setattr(sys, "argv", ["mgpu_test"])
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("MGPU_TZ", raising=False)
    monkeypatch.setattr(zone.Shown, "name", "")
    monkeypatch.setattr(zone.Shown, "follows", False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    """A scheduler that answers everything with an empty ok, until a test says otherwise."""
    with FakeServer(tmp_path / "mgpu.sock", lambda _: [{"ok": {}}]) as fake:
        yield fake


@pytest.fixture
def run(server: FakeServer) -> Run:
    """Run a command with arguments against the server and give its exit status."""

    def status(command: click.Command, *args: str) -> int:
        return base.status_of(command, ["--socket", server.path, *args])

    return status


def listing(*rows: list[object]) -> Callable[[Message], Iterable[Message]]:
    """The answer to ``jobs``."""

    def answer(request: Message) -> Iterable[Message]:
        ids = request.get("jobs")
        chosen = [row for row in rows if row[0] in ids] if isinstance(ids, list) else list(rows)
        yield {"part": {"fields": list(JOB_FIELDS), "rows": chosen}}
        yield {"ok": {"count": len(chosen)}}

    return answer


def job(**known: object) -> list[object]:
    """A row of the ``jobs`` answer: a waiting job of alice, with what is given."""
    row: dict[str, object] = {
        "id": 1,
        "name": "train",
        "user": "alice",
        "state": "PENDING",
        "reason": "",
        "detail": "",
        "submitted": MOMENT,
        "started": None,
        "ended": None,
        "elapsed": 0.0,
        "time_limit": None,
        "gpus": 1,
        "gpu_mem": None,
        "gpu_ids": [],
        "priority": 0,
        "restarts": 0,
        "attempt": 0,
        "code": None,
        "signal": None,
        "command": "python train.py",
        "cwd": "/home/alice",
        "exclusive": False,
        "requeue": True,
        "mine": True,
        "dependency": "",
        "array": 0,
        "tasks": "",
        "max_concurrent": 0,
        "params": {},
        "peak": [],
        "note": "",
        "project": "",
        "qos": "",
        "cpus": 0,
        "host_mem": 0,
        "gpu_type": "",
        "begin": None,
    }
    assert known.keys() <= row.keys()
    return list((row | known).values())
