"""The log pane of mgpu_top: the end of the file, as the caller may read it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from mgpu.cli.top_log import last_lines


def log(path: Path, **changed: object) -> dict[str, Any]:
    """What the scheduler tells of a job that runs and writes to ``path``."""
    known: dict[str, Any] = {
        "id": 7, "array": 0, "tasks": "", "user": "alice", "state": "RUNNING", "name": "train",
        "cwd": "/", "attempt": 1, "restarts": 0, "output": str(path), "error": "",
    }  # fmt: skip
    return known | changed


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\nhalf", ["one", "half"]),
        (b" 1%\r 50%\r 100%\r\ndone\n", [" 100%", "done"]),
        (b"a\tb\n\x1b[31mred\xff\n", ["a       b", "\\x1b[31mred\ufffd"]),
        (b"", ["(nothing was written yet)"]),
    ],
)
def test_the_last_lines_are_as_a_terminal_would_leave_them(
    written: bytes, shown: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "7.log"
    path.write_bytes(written)
    assert last_lines(log(path)) == shown


def test_of_a_long_log_whole_lines_of_its_end_are_read(tmp_path: Path) -> None:
    path = tmp_path / "7.log"
    path.write_text("".join(f"line {number} {'x' * 400}\n" for number in range(10_000)))
    lines = last_lines(log(path))
    assert [line.split()[:2] for line in (lines[0], lines[-1])] == [
        ["line", str(10_000 - len(lines))],
        ["line", "9999"],
    ]
    assert 100 < len(lines) <= 200


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "private" in last_lines(None)[0]
    assert "has not run yet" in last_lines(log(pipe, attempt=0))[0]
    assert "wait" in last_lines(log(pipe, array=7, tasks="3-9"))[0]
    assert "no regular file" in last_lines(log(pipe))[0]
    assert "No such file" in last_lines(log(tmp_path / "none"))[0]


def test_what_is_no_regular_file_is_not_even_opened(tmp_path: Path) -> None:
    """To open a socket fails, so that it is seen whether that was tried."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "talk"))
    (tmp_path / "7.log").symlink_to("talk")
    assert "no regular file" in last_lines(log(tmp_path / "7.log"))[0]
