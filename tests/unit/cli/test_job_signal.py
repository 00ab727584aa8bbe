"""mgpu_job signal and mgpu_cancel --signal: what is asked, and what is said."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from mgpu.cli.cancel import cancel
from mgpu.cli.job_signal import signal
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import Run, job, listing

Capture = pytest.CaptureFixture[str]
HOW = {1: "signalled", 2: "waiting", 3: "ended", 4: "unreached", 5: "unknown"}


def answer(request: Message) -> Iterable[Message]:
    """One job of each kind."""
    jobs = request["jobs"]
    assert isinstance(jobs, list)
    yield {"ok": {"jobs": [[number, HOW[number]] for number in jobs]}}


def test_what_became_of_each_is_said(
    run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    server.answer = answer
    assert run(signal, "1-5", "SIGUSR1") == 1
    captured = capsys.readouterr()
    golden.check("cli/signal.txt", captured.out + captured.err)
    assert server.requests == [
        {"op": "signal", "jobs": [1, 2, 3, 4, 5], "signal": 10, "leader": False}
    ]


def test_the_first_process_alone(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = answer
    assert run(signal, "--batch", "1", "34") == 0
    assert server.requests[0]["leader"] is True
    assert capsys.readouterr().out in ("Sent SIGRTMIN to job 1\n", "Sent signal 34 to job 1\n")


def test_cancel_with_a_signal_cancels_nothing(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = answer
    assert run(cancel, "--signal", "INT", "1") == 0
    assert [request["op"] for request in server.requests] == ["signal"]
    assert capsys.readouterr().out == "Sent SIGINT to job 1\n"


def test_cancel_signals_what_fits(run: Run, server: FakeServer, capsys: Capture) -> None:
    rows = listing(
        job(id=1, state="RUNNING", name="a"),
        job(id=2, state="RUNNING", name="b"),
        job(id=3, name="a"),
    )

    def both(request: Message) -> Iterable[Message]:
        return rows({}) if request["op"] == "jobs" else answer(request)

    server.answer = both
    assert run(cancel, "-s", "USR1", "--name", "a", "--dry-run") == 0
    assert capsys.readouterr().out == "Would signal job 1 (RUNNING, alice, a)\n"
    assert run(cancel, "-s", "USR1", "--name", "a") == 0
    assert server.requests[-1]["jobs"] == [1]


@pytest.mark.parametrize(
    ("args", "said"),
    [(["1"], "Missing argument"), (["1", "NOISE"], "is not a signal"), (["x", "10"], "x")],
)
def test_nonsense_is_refused(args: list[str], said: str, run: Run, capsys: Capture) -> None:
    assert run(signal, *args) == 2
    assert said in capsys.readouterr().err


def test_batch_needs_a_signal(run: Run, capsys: Capture) -> None:
    assert run(cancel, "--batch", "1") == 2
    assert "--signal" in capsys.readouterr().err
