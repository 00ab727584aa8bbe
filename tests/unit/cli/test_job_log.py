"""mgpu_job log: the file of a job, its end, what comes, and why there is nothing to read."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from typing import Any

import pytest

from mgpu.cli import job_log
from mgpu.cli.job_log import log
from mgpu.protocol.messages import parse_request
from mgpu.protocol.questions import Logs
from tests.lib.fake_server import FakeServer, Message
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]


class Known:
    """What the scheduler tells of job 42, which a test changes."""

    def __init__(self, folder: Path) -> None:
        user = pwd.getpwuid(os.getuid()).pw_name
        self.row: dict[str, Any] = {
            "id": 42, "array": 0, "tasks": "", "user": user, "state": "RUNNING", "name": "train",
            "cwd": str(folder), "attempt": 1, "restarts": 0, "output": "%j.log", "error": "",
        }  # fmt: skip

    def answer(self, request: Message) -> list[Message]:
        """The answer to ``logs``."""
        assert isinstance(parse_request(request), Logs)
        return [{"ok": {"rows": [self.row] if request["jobs"] == [42] else []}}]


@pytest.fixture
def known(server: FakeServer, tmp_path: Path) -> Known:
    found = Known(tmp_path)
    server.answer = found.answer
    return found


@pytest.mark.parametrize(
    ("content", "lines", "shown"),
    [
        ("a\nb\nc\n", "2", "b\nc\n"),
        ("a\nb\nc", "2", "b\nc"),
        ("a\nb\n", "9", "a\nb\n"),
        ("a\nb\n", "0", ""),
        ("\n\n\n", "2", "\n\n"),
        ("", "3", ""),
        ("x" * 70_000 + "\n" + "y\n" * 70_000, "69999", "y\n" * 69_999),
        ("x" * 70_000 + "\n" + "y\n" * 70_000, "70001", "x" * 70_000 + "\n" + "y\n" * 70_000),
    ],
)
def test_the_last_lines(
    content: str, lines: str, shown: str, known: Known, tmp_path: Path, run: Run, capsys: Capture
) -> None:
    (tmp_path / "42.log").write_text(content)
    assert run(log, "42", "--lines", lines) == 0
    assert capsys.readouterr().out == shown
    assert run(log, "42") == 0
    assert capsys.readouterr().out == content


def test_each_run_has_the_file_that_its_pattern_names(
    known: Known, tmp_path: Path, run: Run, capsys: Capture
) -> None:
    known.row |= {"output": "%j-%r.out", "error": "%j.err", "attempt": 2, "restarts": 1}
    for name in ("42-0.out", "42-1.out", "42.err"):
        (tmp_path / name).write_text(name)
    for args, shown in [
        ([], "42-1.out"),
        (["--attempt", "1"], "42-0.out"),
        (["--stderr"], "42.err"),
    ]:
        assert run(log, "42", *args) == 0
        assert capsys.readouterr().out == shown


def test_following_goes_on_through_restarts_until_the_job_is_over(
    known: Known, tmp_path: Path, run: Run, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "42-0.out", tmp_path / "42-1.out"
    known.row |= {"state": "PENDING", "attempt": 0, "output": "%j-%r.out"}

    def happens() -> Any:
        known.row |= {"state": "RUNNING", "attempt": 1}
        yield  # it runs, and has written nothing yet
        first.write_text("one\n")
        yield
        first.write_text("one\ntwo\n")
        yield
        known.row |= {"state": "RUNNING", "attempt": 2, "restarts": 1}
        second.write_text("three\n")
        yield
        second.write_text("three\nfour\n")
        known.row |= {"state": "COMPLETED"}
        yield

    steps = happens()
    monkeypatch.setattr(job_log, "pause", lambda _: next(steps))
    assert run(log, "42", "-f") == 0
    assert capsys.readouterr().out == "one\ntwo\nthree\nfour\n"


def nothing(known: Known, folder: Path) -> None:
    """There is no file."""


def in_a_file(known: Known, folder: Path) -> None:
    (folder / "42.log").touch()


def too_few(known: Known, folder: Path) -> None:
    known.row["output"] = "%r"


def waits(known: Known, folder: Path) -> None:
    known.row |= {"state": "PENDING", "attempt": 0}


def never_ran(known: Known, folder: Path) -> None:
    known.row |= {"state": "CANCELLED", "attempt": 0}


def is_a_fifo(known: Known, folder: Path) -> None:
    os.mkfifo(folder / "42.log")


def leads_to_what_cannot_be_opened(_known: Known, folder: Path) -> None:
    """To open a socket fails, so that it is seen whether that was tried."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "talk"))
    (folder / "42.log").symlink_to("talk")


def lies_elsewhere(known: Known, folder: Path) -> None:
    known.row |= {"cwd": str(folder / "file")}
    (folder / "file").touch()


@pytest.mark.parametrize(
    ("prepare", "args", "words"),
    [
        (nothing, ["42"], '42.log": No such file or directory'),
        (nothing, ["7"], "job 7: unknown, or not yours"),
        (in_a_file, ["42", "--attempt", "1"], "all runs of job 42 wrote to"),
        (too_few, ["42", "--attempt", "3"], "job 42 ran 1 times and has no run 3"),
        (waits, ["42"], "job 42 has not run yet"),
        (never_ran, ["42", "-f"], "job 42 never ran"),
        (is_a_fifo, ["42"], "is no regular file"),
        (leads_to_what_cannot_be_opened, ["42"], "is no regular file"),
        (lies_elsewhere, ["42", "-f"], "Not a directory"),
        (nothing, ["x"], "write 42, 42_7"),
    ],
)
def test_what_cannot_be_shown(
    prepare: Any, args: list[str], words: str, known: Known, tmp_path: Path, run: Run,
    capsys: Capture,
) -> None:  # fmt: skip
    prepare(known, tmp_path)
    assert run(log, *args) != 0
    seen = capsys.readouterr()
    assert seen.out == ""
    assert words in seen.err


def of_somebody_else(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on a terminal."""
    known.row["user"] = "mallory"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)


@pytest.mark.parametrize("before", ["", "x" * ((1 << 16) - 1)], ids=["", "read in two pieces"])
def test_what_somebody_else_wrote_has_no_power_over_the_terminal(
    before: str, known: Known, tmp_path: Path, run: Run, capfdbinary: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    written = before.encode() + b"\xc2\x9b1m \x1b[2J\tb\r\n\x9b \xe2\x80\xae \xc3\xa9\n"
    (tmp_path / "42.log").write_bytes(written)
    of_somebody_else(known, monkeypatch)
    assert run(log, "42") == 0
    shown = capfdbinary.readouterr().out
    assert shown == before.encode() + b"\\x9b1m \\x1b[2J\tb\\r\n\\x9b \\u202e \xc3\xa9\n"


def test_a_log_that_is_not_there_is_no_matter_of_rights(
    known: Known, run: Run, capsys: Capture
) -> None:
    known.row["state"] = "LAUNCH_FAILED"
    assert run(log, "42") == 1
    assert "hint: mgpu_job show 42 tells what became of the job" in capsys.readouterr().err
    known.row["user"] = "mallory"
    assert run(log, "42") == 1
    assert "hint: job 42 wrote it as mallory, and it is read as" in capsys.readouterr().err
