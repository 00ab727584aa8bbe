"""mgpu_top: where there is no terminal; how a terminal is left; what is asked of the scheduler."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import termios
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from mgpu.cli import top_terminal
from mgpu.cli.top import Asked, top
from mgpu.cli.top_state import State
from mgpu.client import Client
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import Run, job, listing
from tests.unit.cli.test_info import gpu, machine

Capture = pytest.CaptureFixture[str]
ROWS = [job(id=1), job(id=2, state="RUNNING", gpu_ids=[0], elapsed=65.0)]


def scheduler(outcome: str = "cancelled") -> object:
    """Answers as a scheduler with one GPU and two jobs would."""
    told = listing(*ROWS)

    def answer(request: Message) -> Iterable[Message]:
        if request["op"] == "jobs":
            yield from told({})
        elif request["op"] == "info":
            yield {"ok": machine(gpu(0, used=20480, utilization=42), running=1, pending=1)}
        elif request["op"] == "why":
            yield {"ok": {"rows": [[1, 0, "", "alice", "PENDING", ["It waits."]]]}}
        else:
            yield {"ok": {"jobs": [[number, outcome] for number in request["jobs"]]}}  # type: ignore[attr-defined]

    return answer


@pytest.fixture
def asked(server: FakeServer) -> Iterator[Asked]:
    server.answer = scheduler()  # type: ignore[assignment]
    with Client(server.path) as client:
        yield Asked(client)


def test_without_a_terminal_the_screen_is_printed_once(
    run: Run, server: FakeServer, golden: Golden, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: "03:04:05")
    server.answer = scheduler()  # type: ignore[assignment]
    assert run(top) == 0
    captured = capsys.readouterr()
    golden.check("cli/top_once.txt", captured.out)
    assert captured.err == ""
    assert [request["op"] for request in server.requests] == ["info", "jobs"]


def test_why_is_asked_once_for_the_chosen_job(asked: Asked, server: FakeServer) -> None:
    state = asked.press(asked.refresh(State()), "down")
    assert state is not None
    assert state.chosen == 1
    assert [list(asked.known(state).why) for _ in range(3)] == [["It waits."]] * 3
    assert [request for request in server.requests if request["op"] == "why"] == [
        {"op": "why", "jobs": [1]}
    ]


def test_the_log_is_asked_for_where_it_is_shown(asked: Asked, server: FakeServer) -> None:
    usual = server.answer

    def answer(request: Message) -> Iterable[Message]:
        return [{"ok": {"rows": []}}] if request["op"] == "logs" else usual(request)

    server.answer = answer
    state = asked.refresh(State())
    assert asked.known(state).log == []
    shown = asked.press(state, "l")
    assert shown is not None
    assert "private" in asked.known(shown).log[0]
    assert server.requests[-1] == {"op": "logs", "jobs": [2]}


@pytest.mark.parametrize(
    ("keys", "operation", "outcome", "message"),
    [
        ("xy", "cancel", "cancelling", "Cancelling job 2: its processes are being ended"),
        ("xy", "cancel", "unknown", "Job 2 is unknown, or not yours"),
        ("Gh", "hold", "changed", "Held job 1"),
        ("Gh", "hold", "started", "Job 1 has started already"),
    ],
)
def test_what_a_key_does_is_said(
    keys: str, operation: str, outcome: str, message: str, asked: Asked, server: FakeServer
) -> None:
    server.answer = scheduler(outcome)  # type: ignore[assignment]
    state = asked.refresh(State())
    for key in keys.replace("G", "j"):
        after = asked.press(state, {"j": "down"}.get(key, key))
        assert after is not None
        state = after
    assert state.message == message
    assert [request["op"] for request in server.requests].count(operation) == 1


def test_an_error_of_the_scheduler_is_said_on_the_screen(asked: Asked, server: FakeServer) -> None:
    state = asked.press(asked.refresh(State()), "x")
    usual = server.answer

    def refuse(request: Message) -> Iterable[Message]:
        error = {"code": "Refused", "message": "not now"}
        return [{"error": error}] if request["op"] == "cancel" else usual(request)

    server.answer = refuse
    assert state is not None
    after = asked.press(state, "y")
    assert after is not None
    assert after.message == "not now"


def test_q_ends(asked: Asked) -> None:
    assert asked.press(asked.refresh(State()), "q") is None


# -- the terminal ----------------------------------------------------------------------------------


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Standard input is a terminal; gives its two ends."""
    outer, inner = pty.openpty()
    with open(inner, closefd=False) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield outer, inner
    for end in (outer, inner):
        os.close(end)


def test_each_key_comes_at_once_and_the_terminal_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as (outer, inner):
        before = termios.tcgetattr(inner)
        with top_terminal.keyboard() as typed:
            assert not termios.tcgetattr(inner)[3] & (termios.ICANON | termios.ECHO)
            assert typed(0) == b""
            os.write(outer, b"j")
            assert typed(10) == b"j"
        assert termios.tcgetattr(inner) == before
        assert select.select([outer], [], [], 0)[0] == [], "the key was not shown"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_leaves_the_terminal_as_before(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(number)
    with terminal(monkeypatch) as (_, inner):
        before = termios.tcgetattr(inner)
        with pytest.raises(SystemExit) as ended, top_terminal.keyboard():
            signal.raise_signal(number)
        assert ended.value.code == 128 + number
        assert termios.tcgetattr(inner) == before
    assert signal.getsignal(number) == handler


def test_a_new_size_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch), top_terminal.keyboard() as typed:
        signal.raise_signal(signal.SIGWINCH)
        assert typed(3600) == b""


def test_a_closed_terminal_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with open(reader) as stream, terminal(monkeypatch):
        assert top_terminal._typed(stream.fileno(), reader, 10) is None


@pytest.mark.parametrize("name", ["dumb", ""])
def test_a_dumb_terminal_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as (_, inner), open(inner, "w", closefd=False) as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setenv("TERM", "xterm")
        assert top_terminal.usable()
        monkeypatch.setenv("TERM", name)
        assert not top_terminal.usable()
