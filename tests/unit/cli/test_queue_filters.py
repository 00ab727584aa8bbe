"""mgpu_queue: which jobs are listed."""

from __future__ import annotations

import pytest

from mgpu.cli.queue import queue
from mgpu.model.time import Now
from mgpu.system import clock
from tests.lib.fake_server import FakeServer
from tests.unit.cli.conftest import MOMENT, Run, job, listing

Capture = pytest.CaptureFixture[str]
HOUR = 3600.0
ROWS = [
    job(id=1, name="train-1", project="thesis"),
    job(id=2, name="train-2", project="course", qos="high", state="RUNNING", gpu_ids=[0, 2]),
    job(id=3, name="eval", state="RUNNING", gpu_ids=[1]),
    job(id=4, name=None, project=None, user="bob", mine=False),
    job(id=5, name="eval", state="COMPLETED", ended=MOMENT - HOUR, gpu_ids=[0], code=0),
    job(id=6, name="eval", state="FAILED", ended=MOMENT - 30 * HOUR, code=1),
]  # fmt: skip


@pytest.fixture(autouse=True)
def at_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is 03:04:05 on a Friday, in UTC."""
    monkeypatch.setattr(clock, "now", lambda: Now(MOMENT, 0.0))


def shown(run: Run, capsys: Capture, *args: str) -> str:
    assert run(queue, "-h", "-o", "%A", *args) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-n", "eval"], "3 5 6"),
        (["--name", "train-?,nothing"], "1 2"),
        (["-n", "*"], "1 2 3 5 6"),
        (["-P", "thesis,course"], "1 2"),
        (["--account", "thesis"], "1"),
        (["-q", "high"], "2"),
        (["--qos", "normal"], "1 3 4 5 6"),
        (["-w", "gpu1,gpu2"], "2 3"),
        (["--nodelist", "0"], "2 5"),
        (["-n", "eval", "-w", "1"], "3"),
        (["-n", "eval", "--limit", "2"], "3 5"),
        (["-j", "1-6", "-n", "eval"], "3"),
        (["--since", "2h"], "1 2 3 4 5"),
        (["--since", "2d"], "1 2 3 4 5 6"),
        (["--since", "now-60m"], "1 2 3 4 5"),
        (["--since", "today"], "1 2 3 4 5"),
        (["--since", "yesterday"], "1 2 3 4 5"),
        (["--since", "22:00"], "1 2 3 4 5"),
        (["--since", "2025-12-31"], "1 2 3 4 5 6"),
        (["-j", "1-6", "--since", "3h"], "1 2 3 4 5"),
    ],
)
def test_filters(
    args: list[str], expected: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = listing(*ROWS)
    assert shown(run, capsys, *args) == expected


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (["--since", "2h"], {"ended": True, "scope": None, "limit": 0}),
        (["--since", "2h", "--me", "--limit", "3"], {"ended": True, "scope": "me", "limit": 0}),
        (["-n", "eval", "--limit", "3"], {"ended": False, "limit": 0}),
        (["--users", "bob", "--state", "F"], {"users": ["bob"], "states": ["FAILED"]}),
    ],
)
def test_what_is_asked(
    args: list[str], asked: dict[str, object], run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = listing(*ROWS)
    shown(run, capsys, *args)
    assert {name: server.requests[-1][name] for name in asked} == asked


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-w", "node1"], '"node1" names no GPUs; write gpu0 or gpu0,gpu2'),
        (["--since", "tomorrow"], '"tomorrow" is not a time that has been; write 2h, 7d'),
        (["--since", "long ago"], '"long ago" is not a time that has been'),
        (["--since", "2099-01-01"], '"2099-01-01" is not a time that has been'),
    ],
)
def test_usage_errors(
    args: list[str], message: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(queue, *args) == 2
    assert message in capsys.readouterr().err
    assert server.requests == []
