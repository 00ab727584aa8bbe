"""mgpu_queue on a terminal: a table, and one that is shown again when something happens."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from mgpu.cli import watch
from mgpu.cli.queue import queue
from mgpu.client.news import News
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import Run, job, listing

Capture = pytest.CaptureFixture[str]
Terminal = Callable[[int], None]
NEEDS = "needs 2 GPUs with 20480 MiB each; free: gpu1 (22528 MiB); gpu0 held by job 7"
ROWS = [
    job(id=7, state="RUNNING", elapsed=183845.7, gpus=2, gpu_ids=[0, 1]),
    job(id=8, state="COMPLETING", elapsed=59, gpu_ids=[2], user="bob", name=None, mine=False),
    job(id=9, reason="Resources", detail=NEEDS, gpus=2, name="[red]no markup[/red] :smile:"),
    job(id=11, name="evil\x1b[31m" + "x" * 40, reason="Priority"),
    job(id=14, state="FAILED", elapsed=5, code=3),
    job(id=15, state="COMPLETED", elapsed=5, code=0),
    job(id=42, array=42, tasks="8-99999", max_concurrent=4, reason="JobArrayTaskLimit"),
]  # fmt: skip


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard output a terminal of so many columns."""

    def become(columns: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", "10")
        monkeypatch.setenv("TERM", "xterm")
        for name in ("NO_COLOR", "COLORTERM", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)

    return become


@pytest.mark.parametrize("columns", [120, 80])
@pytest.mark.parametrize("colours", ["colours", "no_color"])
def test_table(
    columns: int, colours: str, run: Run, server: FakeServer, golden: Golden, capsys: Capture,
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    terminal(columns)
    if colours == "no_color":
        monkeypatch.setenv("NO_COLOR", "1")
    server.answer = listing(*ROWS)
    assert run(queue) == 0
    out = capsys.readouterr().out
    golden.check(f"cli/queue_table_{columns}_{colours}.txt", out)
    if colours == "no_color":
        assert "\x1b" not in out
        assert max(map(len, out.splitlines())) <= columns


@pytest.mark.parametrize("args", [["-o", "%i"], ["--json"], ["--csv"], ["--long"], ["--tree"]])
def test_a_form_that_is_asked_for_is_the_same_everywhere(
    args: list[str], run: Run, server: FakeServer, capsys: Capture, terminal: Terminal
) -> None:
    server.answer = listing(*ROWS)
    run(queue, "--all", *args)
    elsewhere = capsys.readouterr().out
    terminal(40)
    run(queue, "--all", *args)
    assert capsys.readouterr().out == elsewhere


def test_ten_thousand_jobs_are_not_drawn(
    run: Run, server: FakeServer, capsys: Capture, terminal: Terminal
) -> None:
    server.answer = listing(*[job(id=number) for number in range(1, 10_001)])
    run(queue)
    elsewhere = capsys.readouterr().out
    terminal(100)
    run(queue)
    assert capsys.readouterr().out == elsewhere


class Pauses:
    """Records pauses and interrupts after the last one; says that there are news where told."""

    def __init__(self, *ready: bool) -> None:
        self._ready = list(ready)
        self.seen: list[tuple[float, bool]] = []

    def __call__(self, seconds: float, descriptor: int | None = None) -> bool:
        if not self._ready:
            raise KeyboardInterrupt
        self.seen.append((seconds, descriptor is not None))
        return self._ready.pop(0)


def test_it_is_shown_again_and_at_most_once_a_second(
    run: Run, server: FakeServer, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = Pauses(False, False, False, False)
    monkeypatch.setattr(watch, "pause", pauses)
    server.answer = listing(job())
    assert run(queue, "-h", "-o", "%i %t", "--watch", "5") == 0
    assert capsys.readouterr().out == "1 PD\n\n" * 3
    assert pauses.seen == [(1.0, False), (4.0, True)] * 2


def test_a_screen_is_no_wider_than_the_terminal(
    run: Run, server: FakeServer, capsys: Capture, terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    terminal(10)
    monkeypatch.setattr(watch, "pause", Pauses())
    server.answer = listing(job(command="a very long command"))
    assert run(queue, "-i", "3", "-h", "-o", "%i %o") == 0
    assert "\x1b[H1 a very l\x1b[K\x1b[J" in capsys.readouterr().out


def test_news_come_over_a_connection_of_their_own(server: FakeServer, run: Run) -> None:
    from mgpu.client import Client

    answers = iter([4, 5])
    server.answer = lambda _: [{"ok": {"seen": next(answers)}}]
    with Client(server.path) as client:
        news: News = client.news()
        for _ in range(2):
            descriptor = news.descriptor()
            assert descriptor is not None
            assert descriptor == news.descriptor()  # asked once
            news.take()
    news.close()
    assert [request["seen"] for request in server.requests] == [0, 4]


def test_an_old_scheduler_tells_no_news(server: FakeServer) -> None:
    from mgpu.client import Client

    server.answer = lambda _: [{"error": {"code": "BadRequest", "message": "unknown operation"}}]
    with Client(server.path) as client:
        news = client.news()
        assert news.descriptor() is not None
        news.take()
        news.close()


def test_nobody_there_tells_no_news(tmp_path: os.PathLike[str]) -> None:
    from mgpu.client import Client

    assert Client(os.path.join(tmp_path, "none")).news().descriptor() is None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--watch", "0"], "0 is not in the range 1<=x<=3600"),
        (["--start", "--watch"], "--start does not heed --watch"),
        (["--why", "3", "-i", "5"], "--why does not heed --watch"),
    ],
)
def test_usage_errors(args: list[str], message: str, run: Run, capsys: Capture) -> None:
    assert run(queue, *args) == 2
    assert message in capsys.readouterr().err
