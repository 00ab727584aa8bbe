"""mgpu_cancel: which jobs are meant, and what is asked before they are ended."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from mgpu.cli import base
from mgpu.cli.cancel import cancel
from mgpu.model.target import Names, of_wire
from mgpu.model.tasks import parse_tasks
from mgpu.protocol.names import JOB_FIELDS
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import Run, job

Capture = pytest.CaptureFixture[str]
ME = pwd.getpwuid(os.geteuid()).pw_name
SCATTERED = ",".join(str(number * number) for number in range(150))
ROWS = [
    job(id=1, name="train-1", project="thesis"),
    job(id=2, name="train-2", state="RUNNING", gpu_ids=[0], qos="debug"),
    job(id=3, name=None, project=None, user="bob", mine=False, state="RUNNING", gpu_ids=[1]),
    job(id=42, array=42, tasks="8-19", name="sweep"),
    job(id=43, array=42, tasks="7", name="sweep", state="RUNNING", gpu_ids=[2]),
    job(id=9, name="train-1", state="COMPLETED", code=0),
]  # fmt: skip


MINE, ARRAY, TASKS = map(JOB_FIELDS.index, ("mine", "array", "tasks"))


def is_named(row: list[Any], request: Message) -> bool:
    names = request.get("jobs")
    if not isinstance(names, list) or not names:
        return True
    tasks = parse_tasks(row[TASKS])[0] if row[ARRAY] else None
    return Names(map(of_wire, names)).has(row[0], row[ARRAY], tasks)


@pytest.fixture(autouse=True)
def a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not root, who is an administrator anyway."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: pwd.struct_passwd(("alice", *"x1000///")[:7]))


@pytest.fixture
def jobs(server: FakeServer) -> FakeServer:
    """A scheduler that lists ``ROWS`` and cancels what is named."""

    def answer(request: Message) -> Iterable[Message]:
        if request["op"] == "cancel":
            named = request["jobs"]
            assert isinstance(named, list)
            yield {"ok": {"jobs": [[name, "cancelled"] for name in named]}}
            return
        everyone = request["scope"] == "all"
        rows = [row for row in ROWS if (everyone or row[MINE]) and is_named(row, request)]
        yield {"part": {"fields": list(JOB_FIELDS), "rows": rows}}
        yield {"ok": {"count": len(rows)}}

    server.answer = answer
    return server


def cancelled(server: FakeServer) -> list[object]:
    """What the scheduler was told to cancel."""
    return [name for asked in server.requests if asked["op"] == "cancel" for name in asked["jobs"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--me"], [1, 2, "42_[8-19]", "42_[7]"]),
        (["--name", "train-*"], [1, 2]),
        (["-n", "sweep", "-t", "PD"], ["42_[8-19]"]),
        (["--state", "R"], [2, "42_[7]"]),
        (["--state", "all", "-n", "train-1"], [1]),
        (["--user", "alice", "-t", "running"], [2, "42_[7]"]),
        (["-P", "thesis"], [1]),
        (["-q", "debug"], [2]),
        (["-w", "gpu0,gpu1"], [2]),
        (["--admin", "-w", "gpu0,gpu1"], [2, 3]),
        (["--admin", "--user", "bob"], [3]),
        (["--admin", "--me", "-w", "gpu0,gpu1"], [2]),
        (["--state", "R", "1-3"], [2]),
        (["--state", "PD", "42_[7-9]"], ["42_[8-9]"]),
    ],
)
def test_filters(args: list[str], expected: list[object], run: Run, jobs: FakeServer) -> None:
    assert run(cancel, *args) == 0
    assert cancelled(jobs) == expected


def test_nothing_fits(run: Run, jobs: FakeServer, capsys: Capture) -> None:
    assert run(cancel, "--name", "nothing") == 0
    assert capsys.readouterr().out == "No job fits: nothing is cancelled\n"
    assert cancelled(jobs) == []


def test_scattered_tasks_are_named_in_pieces(
    run: Run, jobs: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROWS", [job(id=42, array=42, tasks=SCATTERED)])
    assert run(cancel, "--me") == 0
    first, second = map(str, cancelled(jobs))
    assert (first.count(","), second.count(",")) == (99, 48)
    assert f"{first[4:-1]},{second[4:-1]}" == SCATTERED.replace("0,1,", "0-1,", 1)


@pytest.mark.parametrize(
    ("name", "args", "status"),
    [
        ("me", ["--me"], 0),
        ("named", ["2-4,9,42_[5-8]"], 1),
        ("none", ["--name", "nothing"], 0),
        ("admin", ["--admin", "--state", "R"], 0),
    ],
)
def test_dry_run(
    name: str, args: list[str], status: int, run: Run, jobs: FakeServer, golden: Golden,
    capsys: Capture,
) -> None:  # fmt: skip
    assert run(cancel, "--dry-run", *args) == status
    assert cancelled(jobs) == []
    captured = capsys.readouterr()
    golden.check(f"cli/cancel_dry_run_{name}.txt", captured.out + captured.err)


class _Terminal:
    """Somebody who answers ``word``."""

    def __init__(self, word: str) -> None:
        self._word = word

    def isatty(self) -> bool:
        return True

    def readline(self, _limit: int = -1) -> str:
        return f"{self._word}\n"


@pytest.mark.parametrize(
    ("args", "word", "status", "asked"),
    [
        (["--me"], "y", 0, "Cancel 15 jobs?"),
        (["--me"], "n", base.INTERRUPTED, "Cancel 15 jobs?"),
        (["--me", "--yes"], "n", 0, ""),
        (["1-11"], "n", base.INTERRUPTED, "Cancel 11 jobs?"),
        (["42_[1-11]"], "n", base.INTERRUPTED, "Cancel 11 jobs?"),
        (["1-10"], "n", 0, ""),
    ],
)
def test_many_are_asked_for_on_a_terminal(
    args: list[str], word: str, status: int, asked: str, run: Run, jobs: FakeServer,
    monkeypatch: pytest.MonkeyPatch, capsys: Capture,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", _Terminal(word))
    assert run(cancel, *args) == status
    assert bool(cancelled(jobs)) == (status == 0)
    assert capsys.readouterr().err.startswith(asked)


def test_a_script_is_not_asked(run: Run, jobs: FakeServer, capsys: Capture) -> None:
    assert run(cancel, "1-5000") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no job is named; write 3, 42_7 or 3-5, or give --me or --name"),
        (["--user", "bob"], "--user bob: jobs of others are ended with --admin"),
        (["--state", "F"], "FAILED is the state of jobs that have ended; write PD, R or CG"),
        (["--state", "XX"], "'XX' is no state; known are PD"),
        (["-w", "x"], '"x" names no GPUs'),
    ],
)
def test_usage_errors(
    args: list[str], message: str, run: Run, jobs: FakeServer, capsys: Capture
) -> None:
    assert run(cancel, *args) == 2
    assert message in capsys.readouterr().err
    assert jobs.requests == []
