"""mgpu_srun --follow: the output of the job, then its code; and how one comes back to it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from mgpu.cli import follow
from mgpu.cli.srun import srun
from tests.lib.fake_server import FakeServer, Message
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]


class Life:
    """A job that runs at the first look, has ended at the next one, and wrote meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "42.log"
        self.states = ["PENDING", "RUNNING", "FAILED"]
        self.ran = True
        self.output = "%j.log"

    def answer(self, request: Message) -> list[Message]:
        """The answer to each question about it."""
        if request["op"] == "submit":
            return [{"ok": {"first": 42, "count": 1}}]
        if request["op"] == "wait":
            return [{"part": {"job": [42, "FAILED", 3, 0, ""]}}, {"ok": {}}]
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if self.ran and state != "PENDING":
            with self.log.open("a") as log:
                log.write(f"{state}\n")
        return [{"ok": {"rows": [self.row(state)]}}]

    def row(self, state: str) -> dict[str, Any]:
        """What is told of the job."""
        user = pwd.getpwuid(os.getuid()).pw_name
        return {
            "id": 42, "array": 0, "tasks": "", "user": user, "state": state, "name": "train",
            "attempt": int(self.ran and state != "PENDING"), "restarts": 0,
            "cwd": str(self.log.parent), "output": self.output, "error": "",
        }  # fmt: skip


@pytest.fixture
def life(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """No time passes between two looks."""
    monkeypatch.setattr(follow, "pause", lambda _seconds: None)
    found = Life(tmp_path)
    server.answer = found.answer
    return found


def test_the_output_and_the_code(run: Run, life: Life, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(srun, "--follow", "true") == 3
    printed = capfd.readouterr()
    assert printed.out == "RUNNING\nFAILED\n"
    assert "note: job 42; Ctrl-C stops looking and leaves it running" in printed.err
    assert "job 42 ended: FAILED" in printed.err


def test_a_job_that_never_ran(run: Run, life: Life, capfd: pytest.CaptureFixture[str]) -> None:
    life.states, life.ran = ["PENDING", "CANCELLED"], False
    assert run(srun, "--follow", "true") == 3
    assert capfd.readouterr().out == ""


def test_a_job_that_failed_before_it_had_a_log(
    run: Run, life: Life, capfd: pytest.CaptureFixture[str]
) -> None:
    life.states = ["RUNNING", "LAUNCH_FAILED"]
    life.log = life.log.with_name("none")
    assert run(srun, "--follow", "true") == 3
    assert "job 42 ended: FAILED" in capfd.readouterr().err


def test_a_job_without_a_log_has_its_end_told(
    run: Run, life: Life, capfd: pytest.CaptureFixture[str]
) -> None:
    life.output = "/dev/null"
    assert run(srun, "--follow", "true") == 3
    printed = capfd.readouterr().err
    assert '"/dev/null" is no regular file: nothing is kept in it; only its end is told' in printed
    assert "job 42 ended: FAILED" in printed


def test_ctrl_c_says_how_to_come_back(
    run: Run, life: Life, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(follow, "pause", interrupted)
    assert run(srun, "--follow", "true") == 130
    assert "job 42 goes on; come back with: mgpu_job log -f 42" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-a", "0-3"], "--follow is for one job; follow a task with: mgpu_job log -f 42_7"),
        (["--cron", "0 2 * * *"], "--follow and --cron cannot be used together"),
    ],
)
def test_what_cannot_be_followed(args: list[str], words: str, run: Run, capsys: Capture) -> None:
    assert run(srun, "--follow", *args, "true") == 2
    assert words in capsys.readouterr().err
