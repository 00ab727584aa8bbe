"""mgpu_srun --interactive and mgpu_job attach: what is refused before anything is asked."""

from __future__ import annotations

import pytest

from mgpu.cli import interactive
from mgpu.cli.job_attach import attach
from mgpu.cli.srun import srun
from tests.lib.fake_server import FakeServer
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-a", "0-3"], "--interactive is for one job, and this is an array"),
        (["--cron", "0 2 * * *"], "--interactive and --cron cannot be used together"),
        (["-e", "err"], "--error and --interactive: a terminal is for all of the output"),
        (["--follow"], "--follow and --interactive cannot be used together"),
        (
            [],
            "--interactive needs a terminal on standard input and output; without one: use --foll",
        ),
    ],
)
def test_what_cannot_be_interactive(
    args: list[str], words: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(srun, "--interactive", *args, "true") == 2
    assert words in capsys.readouterr().err
    assert server.requests == []


def test_attaching_needs_a_terminal_too(run: Run, server: FakeServer, capsys: Capture) -> None:
    assert run(attach, "42") == 2
    assert "without one: mgpu_job log -f 42" in capsys.readouterr().err
    assert server.requests == []


def test_a_submission_asks_for_a_terminal_like_the_callers(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(interactive, "size", lambda: (33, 101))
    server.answer = lambda _: [{"ok": {}}]
    monkeypatch.setattr("mgpu.cli.srun._foretell", lambda _client, request: asked.append(request))
    asked: list[dict[str, dict[str, object]]] = []
    assert run(srun, "--pty", "--export", "NONE", "--test-only", "true") == 0
    assert asked[0]["spec"]["tty"] == [33, 101]
    assert asked[0]["spec"]["env"] == [b"TERM=xterm-256color"]
