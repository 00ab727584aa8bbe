"""The log for people, for programs and for the journal, of both kinds of processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from mgpu.privileged import log as root_log
from mgpu.system.log import Log, is_journal

Say = Callable[..., None]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def stream_of(fd: int) -> str:
    status = os.fstat(fd)
    return f"{status.st_dev}:{status.st_ino}"


def test_the_journal_is_known_by_its_stream(pipe: tuple[int, int]) -> None:
    assert is_journal(pipe[1], {"JOURNAL_STREAM": stream_of(pipe[1])})
    for stream in ("", "1:2", "x:y", stream_of(pipe[1]) + "0"):
        assert not is_journal(pipe[1], {"JOURNAL_STREAM": stream})
    assert not is_journal(pipe[1], {})


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3)]
)
def test_lines_to_the_journal_begin_with_their_priority(
    pipe: tuple[int, int], level: str, priority: int
) -> None:
    log = Log("debug", pipe[1])
    log.configure("debug", "text", {"JOURNAL_STREAM": stream_of(pipe[1])})
    getattr(log, level)("Hello", action="greet", job=7)
    expected = f"<{priority}>{level.upper()} Hello action=greet job=7\n"
    assert os.read(pipe[0], 999).decode() == expected


def test_json_lines_of_the_scheduler(pipe: tuple[int, int]) -> None:
    log = Log("info", pipe[1])
    log.configure("info", "json")
    log.info("two\nlines", action="x", job=7, reason='a "b"', none=None)
    read = os.read(pipe[0], 999).decode()
    assert read.count("\n") == 1
    told = json.loads(read)
    assert told.pop("time") > 1e9
    assert told == {
        "level": "info",
        "message": "two\nlines",
        "action": "x",
        "job": 7,
        "reason": 'a "b"',
    }


def test_the_launcher_writes_in_the_same_forms(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_log, "_STDERR", pipe[1])
    monkeypatch.setenv("JOURNAL_STREAM", stream_of(pipe[1]))
    root_log.configure("info", "json")
    root_log.warning("Hello", "greet", job=7)
    root_log.configure("info", "text")
    root_log.info("Hello", "greet", job=7)
    monkeypatch.delenv("JOURNAL_STREAM")
    root_log.configure("error")
    root_log.info("Nothing", "greet")
    first, second = os.read(pipe[0], 999).decode().splitlines()
    assert first.startswith("<4>")
    told = json.loads(first.removeprefix("<4>"))
    assert (told["level"], told["action"], told["job"]) == ("warning", "greet", 7)
    assert second == "<6>INFO Hello action=greet job=7"
    root_log.configure("info")
