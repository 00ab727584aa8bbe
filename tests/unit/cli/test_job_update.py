"""mgpu_job update: what it asks for, and what it says of each job."""

from __future__ import annotations

import pytest

from mgpu.cli.job_update import update
from mgpu.protocol.messages import parse_request
from tests.lib.fake_server import FakeServer, Message
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]


def all_changed(request: Message) -> list[Message]:
    jobs = request.get("jobs", [request.get("job")])
    assert isinstance(jobs, list)
    return [{"ok": {"jobs": [[job, "changed"] for job in jobs]}}]


@pytest.mark.parametrize(
    ("args", "requests"),
    [
        (["-d", "afterok:3", "7"], [{"op": "depend", "jobs": [7], "dependency": "afterok:3"}]),
        (
            ["--dependency", "none", "7", "42_[1-5],9"],
            [{"op": "depend", "jobs": [7, "42_[1-5]", 9], "dependency": ""}],
        ),
        (["--priority", "-5", "7"], [{"op": "priority", "jobs": [7], "priority": -5}]),
        (
            ["--time-limit", "2h", "--qos", "low", "7", "42_3"],
            [{"op": "alter", "jobs": [7, "42_3"], "time_limit": 7200, "qos": "low"}],
        ),
        (["--time-limit", "none", "7"], [{"op": "alter", "jobs": [7], "time_limit": 0}]),
        (
            ["--gpus", "2", "--mem", "8G", "--host-mem", "none", "7"],
            [{"op": "alter", "jobs": [7], "gpus": 2, "gpu_mem": 8192, "host_mem": 0}],
        ),
        (["--mem", "none", "7"], [{"op": "alter", "jobs": [7], "gpu_mem": 0}]),
        (["--qos", "none", "7"], [{"op": "alter", "jobs": [7], "qos": "none"}]),
        (["--nice", "7", "42_3"], [{"op": "priority", "jobs": ["42_3"], "priority": -7}]),
        (["7", "--nice"], [{"op": "priority", "jobs": [7], "priority": -100}]),
        (
            ["--priority", "10", "--nice=3", "7"],
            [{"op": "priority", "jobs": [7], "priority": 7}],
        ),
        (
            ["--max-concurrent", "4", "42,43"],
            [
                {"op": "update", "job": 42, "max_concurrent": 4},
                {"op": "update", "job": 43, "max_concurrent": 4},
            ],
        ),
        (
            ["--max-concurrent", "0", "-d", "@~1", "42"],
            [
                {"op": "depend", "jobs": [42], "dependency": "@~1"},
                {"op": "update", "job": 42, "max_concurrent": 0},
            ],
        ),
    ],
)
def test_what_is_asked(
    args: list[str], requests: list[Message], run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = all_changed
    assert run(update, *args) == 0
    assert server.requests == requests
    assert all(parse_request(request) for request in server.requests)
    assert "Changed job" in capsys.readouterr().out


def test_what_is_said_of_each_job(run: Run, server: FakeServer, capsys: Capture) -> None:
    told = [[3, "changed"], [4, "started"], [5, "ended"], ["6_1", "unknown"]]
    server.answer = lambda _: [{"ok": {"jobs": told}}]
    assert run(update, "-d", "none", "3-5") == 1
    seen = capsys.readouterr()
    assert seen.out == "Changed job 3\n"
    for words in ("4: has started already", "5: has ended", "6_1: unknown, or not yours"):
        assert f"job {words}\n" in seen.err
    server.answer = lambda _: [{"ok": {"jobs": told[1:]}}]
    assert run(update, "-d", "none", "4-5") == 1


def test_what_is_said_where_some_changes_are_made(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    """A running job takes another limit, and no other priority."""
    server.answer = lambda asked: [
        {"ok": {"jobs": [[3, "changed" if asked["op"] == "alter" else "started"]]}}
    ]
    assert run(update, "--priority", "5", "--time-limit", "10m", "3") == 1
    seen = capsys.readouterr()
    assert seen.out == "Changed job 3\n"
    assert "job 3: has started already; its priority was not changed\n" in seen.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["7"], "nothing to change"),
        (["--max-concurrent", "2", "42_7"], "bounds whole arrays"),
        (["-d", "", "7"], "it is empty"),
        (["-d", "none"], "Missing argument"),
        (["-d", "none", "x"], "x"),
    ],
)
def test_usage_errors(
    args: list[str], words: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(update, *args) == 2
    assert words in capsys.readouterr().err
    assert server.requests == []
