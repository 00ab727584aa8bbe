"""mgpu_ctl status, log-level, shutdown, audit and the orders about jobs: asked, and shown."""

from __future__ import annotations

import json
import pwd
from types import SimpleNamespace
from typing import Any

import click
import pytest

from mgpu.cli import ctl_jobs
from mgpu.cli.ctl_audit import audit
from mgpu.cli.ctl_daemon import log_level, shutdown, status
from mgpu.model.time import Now
from mgpu.system import clock
from tests.lib.fake_server import FakeServer, Message
from tests.unit.cli.conftest import MOMENT, Run

Capture = pytest.CaptureFixture[str]

STATUS: dict[str, Any] = {
    "now": MOMENT,
    "version": "0.1.0",
    "uptime": 3700.0,
    "mode": "drained",
    "detail": "fans\x1b[2J",
    "backend": "nvml",
    "driver": "550.1",
    "gpus": {"all": 4, "available": 3, "held": 2},
    "queue": {"running": 2, "waiting": 12, "held": 1},
}
OF_CONTROL = {
    "last_error": {"at": MOMENT, "text": "drained a GPU"},
    "log_level": "info",
    "config": "/etc/mgpu/config.toml",
    "waiting": ["paths.cgroup"],
}


def test_status_for_everybody(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = lambda _: [{"ok": STATUS}]
    assert run(status) == 0
    assert capsys.readouterr().out.splitlines() == [
        "version:    0.1.0, up for 1:01:40",
        "mode:       drained: no job is started (fans\\x1b[2J)",
        "GPUs:       4 (nvml, driver 550.1): 3 given out, 2 held by jobs",
        "jobs:       2 run, 12 wait, 1 of them held",
    ]


def test_status_for_administrators(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = lambda _: [{"ok": STATUS | OF_CONTROL}]
    assert run(status) == 0
    assert capsys.readouterr().out.splitlines()[4:] == [
        "config:     /etc/mgpu/config.toml; from the next start on: paths.cgroup",
        "log:        info",
        "last error: 2026-01-02 03:04 drained a GPU",
    ]
    assert run(status, "--json") == 0
    assert json.loads(capsys.readouterr().out) == STATUS | OF_CONTROL


def test_status_fails_in_recovery_mode(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = lambda _: [{"ok": STATUS | {"mode": "recovery", "detail": "damaged"}}]
    assert run(status) == 1
    assert "RECOVERY" in capsys.readouterr().out


ORDERS: list[tuple[click.Command, list[str], Message, str]] = [
    (log_level, ["debug"], {"op": "log_level", "level": "debug"}, "The log has debug and above"),
    (shutdown, [], {"op": "shutdown", "how": "now", "reason": ""}, "Stopping mgpud; jobs go on"),
    (
        shutdown,
        ["--drain", "--reason", "move"],
        {"op": "shutdown", "how": "drain", "reason": "move"},
        "No job is started any more; mgpud ends when none runs",
    ),
    (
        shutdown,
        ["--cancel"],
        {"op": "shutdown", "how": "cancel", "reason": ""},
        "Ending the jobs that run, then mgpud",
    ),
    (ctl_jobs.hold, ["3", "5-6"], {"op": "hold", "jobs": [3, 5, 6]}, "Held 3 of 3"),
    (ctl_jobs.release, ["42_7"], {"op": "release", "jobs": ["42_7"]}, "Released 1 of 1"),
    (ctl_jobs.cancel, ["3"], {"op": "cancel", "jobs": [3]}, "Cancelled 1 of 1"),
    (ctl_jobs.requeue, ["3"], {"op": "requeue", "jobs": [3]}, "Requeued 1 of 1"),
    (
        ctl_jobs.priority,
        ["3", "--to", "-5"],
        {"op": "priority", "jobs": [3], "priority": -5},
        "Changed 1 of 1",
    ),
    (
        ctl_jobs.limit,
        ["42", "4"],
        {"op": "update", "job": 42, "max_concurrent": 4},
        "Changed 1 of 1",
    ),
]


def done(request: Message) -> list[Message]:
    """All is done that is asked for."""
    jobs: Any = request.get("jobs", [request.get("job")])
    return [{"ok": {"key": "x", "jobs": [[job, "changed"] for job in jobs]}}]


@pytest.mark.parametrize(("command", "args", "asked", "told"), ORDERS)
def test_orders(
    run: Run,
    server: FakeServer,
    capsys: Capture,
    command: click.Command,
    args: list[str],
    asked: Message,
    told: str,
) -> None:
    server.answer = done
    assert run(command, *args) == 0
    assert server.requests == [asked]
    assert capsys.readouterr().out == f"{told}\n"


def test_what_was_not_done_is_said_of_each_job(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = lambda _: [{"ok": {"jobs": [[1, "never"], [2, "requeued"], [3, "waits"]]}}]
    assert run(ctl_jobs.requeue, "1-3") == 1
    seen = capsys.readouterr()
    assert seen.out == "Requeued 1 of 3\n"
    assert seen.err.splitlines() == [
        "requeue: error: job 1: was submitted with --no-requeue",
        "requeue: error: job 3: waits already",
    ]
    server.answer = lambda _: [{"ok": {"jobs": [[1, "unknown"]]}}]
    assert run(ctl_jobs.cancel, "1") == 1


# -- the audit trail ------------------------------------------------------------------------------

ROWS = [
    {"at": MOMENT + n, "uid": 1003, "op": op, "about": about, "result": "ok"}
    for n, (op, about) in enumerate([("gpu_set", "gpu0"), ("cancel", "\x1b[2J"), ("reload", "")])
]


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="carol"))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: {"carol": SimpleNamespace(pw_uid=1003)}[name])
    monkeypatch.setattr(clock, "now", lambda: Now(MOMENT, 5.0))


@pytest.mark.usefixtures("people")
def test_the_trail_is_read_to_its_end_and_shown_with_the_newest_last(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    def pieces(request: Message) -> list[Message]:
        first = not request["before"]
        rows = [ROWS[2]] if first else [ROWS[1], ROWS[0]]
        return [{"ok": {"now": MOMENT, "rows": rows, "next": 7 if first else 0}}]

    server.answer = pieces
    assert run(audit) == 0
    assert [request["before"] for request in server.requests] == [0, 7]
    assert capsys.readouterr().out.splitlines() == [
        "TIME              USER   WHAT     ABOUT    RESULT",
        "2026-01-02 03:04  carol  gpu-set  gpu0     ok",
        "2026-01-02 03:04  carol  cancel   \\x1b[2J  ok",
        "2026-01-02 03:04  carol  reload   -        ok",
    ]
    assert run(audit, "--json", "--limit", "1") == 0
    assert [row["op"] for row in json.loads(capsys.readouterr().out)["entries"]] == ["reload"]


@pytest.mark.usefixtures("people")
def test_filters_of_the_trail(run: Run, server: FakeServer) -> None:
    server.answer = lambda _: [{"ok": {"now": MOMENT, "rows": [], "next": 0}}]
    args = ["--since", "2d", "--until", "2026-01-01", "--user", "carol,7", "--op", "gpu-set,cancel"]
    assert run(audit, *args, "--job", "42", "--refused") == 0
    assert server.requests == [
        {
            "op": "audit",
            "before": 0,
            "refused": True,
            "since": int(MOMENT) - 2 * 86400,
            "until": 1767225600,
            "users": [1003, 7],
            "ops": ["gpu_set", "cancel"],
            "job": 42,
        }
    ]
    assert run(audit, "--since", "yesterday-ish") == 2


@pytest.mark.usefixtures("people")
def test_long_lists_of_jobs_are_cut_in_the_table_alone(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    long = ",".join(map(str, range(1, 99, 2)))
    rows = [{**ROWS[1], "about": long}]
    server.answer = lambda _: [{"ok": {"now": MOMENT, "rows": rows, "next": 0}}]
    assert run(audit) == 0
    assert f"  {long[:61]}...  ok" in capsys.readouterr().out
    assert run(audit, "--json") == 0
    assert json.loads(capsys.readouterr().out)["entries"][0]["about"] == long
