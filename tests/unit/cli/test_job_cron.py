"""mgpu_job cron: what is asked of the scheduler, and what people see."""

from __future__ import annotations

import pytest

from mgpu.cli.job_cron import cron
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run

Capture = pytest.CaptureFixture[str]
ROW = {
    "id": 1, "user": "alice", "name": "n\x1b", "command": "true", "cron": "0 2 * * *",
    "zone": "UTC", "next": MOMENT, "paused": False, "by_admin": False, "overlap": "skip",
    "missed": "drop", "last": 42, "left_out": 3, "note": "skipped",
}  # fmt: skip
PAUSED = {"id": 2, "paused": True, "zone": "", "last": 0, "note": ""}


@pytest.mark.parametrize("form", ["table", "json"])
def test_list(form: str, run: Run, server: FakeServer, golden: Golden, capsys: Capture) -> None:
    rows = [ROW, ROW | PAUSED, ROW | PAUSED | {"id": 3, "by_admin": True}]
    server.answer = lambda _: [{"ok": {"now": MOMENT, "recurring": rows}}]
    assert run(cron.commands["list"], *["--json"] * (form == "json")) == 0
    golden.check(f"cli/cron_list_{form}.txt", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("how", "done"), [("pause", "Paused"), ("resume", "Resumed"), ("remove", "Removed")]
)
def test_a_change_is_told(
    how: str, done: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = lambda _: [{"ok": {"jobs": [[1, "changed"], [2, "changed"], [9, "unknown"]]}}]
    assert run(cron.commands[how], "1-2,9") == 1
    assert server.requests == [{"op": "cron_change", "numbers": [1, 2, 9], "how": how}]
    said = capsys.readouterr()
    assert said.out == f"{done} recurring jobs 1, 2\n"
    assert "recurring job 9: unknown, or not yours" in said.err


def test_what_an_administrator_paused(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = lambda _: [{"ok": {"jobs": [[1, "admin"]]}}]
    assert run(cron.commands["resume"], "1") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "recurring job 1: paused by an administrator, who alone can resume it" in said.err


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("x", '"x" is no recurring job; write 3, 3,4 or 3-5'),
        ("3-1", '"3-1" is not a range of 1 to 5000 recurring jobs'),
        (",", "no recurring job is named"),
    ],
)
def test_what_names_none(word: str, problem: str, run: Run, capsys: Capture) -> None:
    assert run(cron.commands["pause"], word) == 2
    assert problem in capsys.readouterr().err
