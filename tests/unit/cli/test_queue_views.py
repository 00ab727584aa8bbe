"""mgpu_queue --priority, --start, --why: what people see."""

from __future__ import annotations

import pwd

import pytest

import mgpu.cli.queue as queue_module
from mgpu.cli.queue import queue
from mgpu.protocol.names import JOB_FIELDS
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run, job

Capture = pytest.CaptureFixture[str]
ANSWERS = {
    "ranks": {
        "order": "fairshare",
        "rows": [
            [7, 0, "", "alice", 0, 3.25, 2.5, 0.0, 0.0, 1.0, -0.25],
            [42, 42, "8-100", "bob", -5, -1.5, 0.25, 0.0, -0.0, 0.0, -0.0004],
        ],
    },
    "starts": {
        "now": MOMENT,
        "rows": [
            [7, 0, "", "alice", MOMENT, [0, 1], "3_1", ""],
            [51, 42, "7", "bob", MOMENT + 60, [], "", "BeginTime: begins in 1:00"],
            [60, 0, "", "bob", None, [], "", "Dependency: waits for job 7"],
        ],
    },
    "why": {
        "rows": [[7, 0, "", "alice", "PENDING", ["Resources: needs 2 GPUs.", "Its \x1b rank."]]],
    },
}


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("ranks", ["--priority"]),
        ("ranks_json", ["--priority", "--json"]),
        ("starts", ["--start"]),
        ("starts_json", ["--start", "--json", "--jobs", "7,51"]),
        ("why", ["--why", "7"]),
        ("why_json", ["--why", "7", "--json"]),
    ],
)
def test_what_is_shown(
    name: str,
    args: list[str],
    run: Run,
    server: FakeServer,
    golden: Golden,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.answer = lambda request: [{"ok": ANSWERS[str(request["op"])]}]
    assert run(queue, *args) == 0
    golden.check(f"cli/queue_{name}.txt", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        (["--priority", "-u", "bob"], ["42_[8-100]"]),
        (["--priority", "-j", "42_9,3"], ["42_[8-100]"]),
        (["--priority", "--limit", "1"], ["7"]),
        (["--start", "-j", "7,60", "-u", "bob"], ["60"]),
        (["--start", "--user", "bob", "--limit", "1"], ["42_7"]),
    ],
)
def test_views_heed_who_and_which(
    args: list[str], ids: list[str], run: Run, server: FakeServer, capsys: Capture
) -> None:
    waiting: Message = {"part": {"fields": list(JOB_FIELDS), "rows": [job(id=51), job(id=60)]}}
    server.answer = lambda request: (
        [waiting, {"ok": {}}] if request["op"] == "jobs" else [{"ok": ANSWERS[str(request["op"])]}]
    )
    assert run(queue, "-h", *args) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ids


def test_own_jobs_alone(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(queue_module, "user_name", lambda _uid: "alice")
    server.answer = lambda request: [{"ok": ANSWERS[str(request["op"])]}]
    assert run(queue, "-h", "--priority", "--me") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["7"]


def test_who_has_no_account_has_no_jobs(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    server.answer = lambda request: [{"ok": ANSWERS[str(request["op"])]}]
    assert run(queue, "-h", "--priority", "--me") == 0
    assert capsys.readouterr().out == ""


def test_who_has_no_waiting_jobs_is_not_shown_those_of_others(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = lambda _: [{"ok": {}}]
    assert run(queue, "-h", "--start", "-u", "carol") == 0
    assert [request["op"] for request in server.requests] == ["jobs"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--priority", "--start"], "--priority and --start are views of their own"),
        (["--why", "3", "--tree"], "--tree and --why are views of their own"),
        (["--priority", "-o", "%i"], "--priority does not heed --format"),
        (["--start", "-t", "PD"], "--start does not heed --states"),
        (["--start", "-r"], "--start does not heed --array"),
        (["--why", "3", "-u", "bob"], "--why does not heed --user"),
        (["--why", "3", "--me"], "--why does not heed --me"),
    ],
)
def test_what_a_view_cannot_do_is_refused(
    args: list[str], problem: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(queue, *args) == 2
    assert problem in capsys.readouterr().err
    assert not server.requests


def test_jobs_that_are_not_active_are_named_in_one_line(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = lambda _: [{"ok": {"rows": []}}]
    assert run(queue, "--why", "9") == 1
    assert "job 9: unknown, or ended" in capsys.readouterr().err
    assert run(queue, "--why", "1-40") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "jobs 1,2,3,4,5,6" in line
