"""mgpu_ctl quota: what is asked of the scheduler, and what people see."""

from __future__ import annotations

import pwd
from typing import Any

import pytest

from mgpu.cli.ctl_quota import quota
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run

Capture = pytest.CaptureFixture[str]
set_, list_, remove = (quota.commands[word] for word in ("set", "list", "remove"))


@pytest.fixture(autouse=True)
def known_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user of these tests."""
    monkeypatch.setattr(pwd, "getpwnam", lambda name: {"ada": None}[name])


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (["--user", "ada", "--running-gpus", "4"], {"subject": "user:ada", "running_gpus": 4}),
        (
            ["--default-user", "--max-running-jobs", "8", "--max-queued-jobs", "0"],
            {"subject": "default:user", "running_jobs": 8, "queued_jobs": 0},
        ),
        (
            ["-P", "vision", "--gpu-memory", "80G", "--gpu-hours", "0.5", "--period", "7d"],
            {"subject": "project:vision", "gpu_memory": 81920, "gpu_seconds": 1800,
             "period": 604800},
        ),
        (
            ["--default-project", "--running-gpus", "none", "--gpu-hours", "none"],
            {"subject": "default:project", "lift": ["running_gpus", "gpu_seconds"]},
        ),
    ],
)  # fmt: skip
def test_set(
    args: list[str], asked: dict[str, Any], run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(set_, *args) == 0
    assert server.requests == [{"op": "quota_set", "lift": [], "period": None} | asked]
    assert capsys.readouterr().out == f"Set the quota of {asked['subject']}\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--running-gpus", "1"], "say whose quota"),
        (["--user", "ada", "--default-user"], "say whose quota"),
        (["--user", "eve"], "this machine has no user 'eve'"),
        (["--user", "ada"], "nothing to set: give a bound"),
        (["--user", "ada", "--running-gpus", "-1"], '"-1" is no number'),
        (["--user", "ada", "--gpu-hours", "nan"], '"nan" are no hours'),
        (["--user", "ada", "--gpu-memory", "much"], '"much" is not a size'),
    ],
)
def test_set_refused(
    args: list[str], message: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(set_, *args) == 2
    assert message in capsys.readouterr().err
    assert not server.requests


def test_remove(run: Run, server: FakeServer, capsys: Capture) -> None:
    assert run(remove, "--group", "lab") == 0
    assert server.requests == [{"op": "quota_remove", "subject": "group:lab"}]
    assert capsys.readouterr().out == "Removed the quota of group:lab\n"


NOTHING: dict[str, Any] = {
    "running_gpus": None, "running_jobs": None, "gpu_memory": None, "queued_jobs": None,
    "gpu_hours": None, "period": 2592000, "renewed": MOMENT + 86400.0,
}  # fmt: skip
USED = {"running_gpus": 3, "running_jobs": 2, "gpu_memory": 40960, "queued_jobs": 17,
        "gpu_hours": 99.96}  # fmt: skip
QUOTAS = [
    {"subject": "default:user", "used": None} | NOTHING
    | {"running_gpus": 4, "queued_jobs": 200, "gpu_hours": 500.0},
    {"subject": "user:ada", "used": USED} | NOTHING | {"running_gpus": 8, "gpu_memory": 81920},
    {"subject": "project:evil\x1b[2J", "used": USED} | NOTHING
    | {"running_jobs": 2, "queued_jobs": 20, "gpu_hours": 100.0, "period": 604800},
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), [("table", []), ("json", ["--json"])])
def test_list(
    name: str, args: list[str], run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    server.answer = lambda _: [{"ok": {"now": MOMENT, "quotas": QUOTAS}}]
    assert run(list_, *args) == 0
    golden.check(f"cli/quota_list_{name}.txt", capsys.readouterr().out)
