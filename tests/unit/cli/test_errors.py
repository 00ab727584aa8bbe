"""What cannot be done is said in a line of its own each, with the exit status of its kind."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import click
import pytest

from mgpu.cli.base import status_of
from mgpu.cli.queue import queue
from mgpu.cli.srun import srun
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]


@click.command("mgpu_test")
def broken() -> None:
    """Meet what nobody has foreseen."""
    raise ValueError("the tray\x1b is empty")


def test_no_permission(golden: Golden, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert status_of(queue, ["--socket", "/run/mgpu/mgpu.sock"]) == 1
    golden.check("cli/no_permission.txt", capsys.readouterr().err)


@pytest.mark.parametrize(("version", "name"), [(0, "old_scheduler"), (2, "old_command")])
def test_another_version(
    version: int, name: str, run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    server.greeting = {"mgpu": version, "version": "9.9"}
    assert run(queue) == 69
    golden.check(f"cli/{name}.txt", capsys.readouterr().err)


def test_something_else_answers(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.greeting = {"hello": "you"}
    assert run(queue) == 69
    assert "does not speak mgpu's protocol" in capsys.readouterr().err


def test_a_defect_is_one_line_and_what_to_do(golden: Golden, capsys: Capture) -> None:
    assert status_of(broken, []) == 70
    golden.check("cli/defect.txt", capsys.readouterr().err)


@pytest.mark.parametrize("value", ["", "0"])
def test_no_trace_where_it_is_off(
    value: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MGPU_DEBUG", value)
    status_of(broken, [])
    assert "Traceback" not in capsys.readouterr().err


def test_the_trace_of_a_defect(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGPU_DEBUG", "1")
    assert status_of(broken, []) == 70
    shown = capsys.readouterr().err
    assert "in broken" in shown
    assert "\x1b" not in shown


def test_the_trace_of_an_error(
    run: Run, server: FakeServer, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Message) -> Iterable[Message]:
        yield {"error": {"code": "Refused", "message": "never", "path": "", "hint": "less"}}

    monkeypatch.setenv("MGPU_DEBUG", "1")
    server.answer = refuse
    assert run(srun, "--", "true") == 1
    shown = capsys.readouterr().err
    assert shown.startswith("mgpu_test: error: never\nmgpu_test: hint: less\nTraceback")
