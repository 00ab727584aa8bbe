"""On whose clocks times are shown and read: option, variable, configuration, this shell."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

import click
import pytest

from mgpu.cli import base, zone
from mgpu.cli.ctl_audit import audit
from mgpu.cli.job_hold import release
from mgpu.cli.queue import queue
from mgpu.cli.srun import srun
from mgpu.cli.stats import stats
from mgpu.cli.top import top
from mgpu.model.time import Now
from mgpu.system import clock
from tests.lib.fake_server import HELLO, FakeServer, Message
from tests.unit.cli.conftest import MOMENT, Run, job, listing
from tests.unit.cli.test_info import machine

Capture = pytest.CaptureFixture[str]
ENTRY = {"at": MOMENT, "uid": 0, "op": "reload", "about": "", "result": "ok"}

#: (configured, variable, option) -> the hour of 03:04 UTC.
CLOCKS = [
    ("", None, None, "03:04"),
    ("Asia/Tokyo", None, None, "12:04"),
    ("Asia/Tokyo", "Europe/Berlin", None, "04:04"),
    ("Asia/Tokyo", "Europe/Berlin", "America/New_York", "22:04"),
    ("", "Europe/Berlin", None, "04:04"),
    ("Mars/Base", None, None, "03:04"),
]


@pytest.fixture(autouse=True)
def a_fixed_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: Now(MOMENT, 5.0))


def answer(request: Message) -> Iterable[Message]:
    if request["op"] == "jobs":
        yield from listing(job(id=7, started=MOMENT, state="RUNNING"))(request)
    else:
        body = {"rows": [ENTRY], "next": 0, "now": MOMENT, "jobs": [[7, "changed"]]}
        yield {"ok": {**body, "first": 7, "count": 1}}


@pytest.mark.parametrize(("configured", "variable", "option", "shown"), CLOCKS)
def test_option_before_variable_before_configuration_before_the_shell(
    run: Run,
    server: FakeServer,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    configured: str,
    variable: str | None,
    option: str | None,
    shown: str,
) -> None:
    server.greeting = {**HELLO, "zone": configured}
    server.answer = answer
    if variable:
        monkeypatch.setenv("MGPU_TZ", variable)
    args = ["--timezone", option] if option else []
    assert run(audit, *args) == 0
    assert f" {shown} " in capsys.readouterr().out
    assert run(queue, "-o", "%S", *args) == 0
    assert f"T{shown}:05" in capsys.readouterr().out


@pytest.mark.parametrize(("configured", "variable", "option", "shown"), CLOCKS[:4])
def test_times_are_read_on_the_same_clocks(
    run: Run,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    configured: str,
    variable: str | None,
    option: str | None,
    shown: str,
) -> None:
    server.greeting = {**HELLO, "zone": configured}
    server.answer = answer
    if variable:
        monkeypatch.setenv("MGPU_TZ", variable)
    args = ["--timezone", option] if option else []
    soon = f"{shown[:3]}10"
    assert run(release, "7", "--at", soon, *args) == 0
    assert run(srun, "--begin", soon, *args, "--", "true") == 0
    begin = int(MOMENT) + 5 * 60 + 55
    wish = server.requests[-1]["spec"]
    assert isinstance(wish, dict)
    assert (server.requests[0]["begin"], wish["begin"]) == (begin, begin)


@pytest.mark.parametrize("command", [queue, stats])
def test_a_time_before_the_socket_is_on_the_clocks_of_that_scheduler(
    command: click.Command, server: FakeServer
) -> None:
    server.greeting = {**HELLO, "zone": "Asia/Tokyo"}
    server.answer = lambda request: listing()(request) if request["op"] == "jobs" else [{"ok": {}}]
    with suppress(KeyError):  # an answer without tables is no matter here
        base.status_of(command, ["--since", "12:00", "--socket", server.path])
    assert (zone.Shown.name, os.environ["TZ"]) == ("Asia/Tokyo", "Asia/Tokyo")
    asked = server.requests[-1]
    assert asked["since"] == int(MOMENT) - 245 if command is stats else "since" not in asked


@pytest.mark.parametrize(("args", "shown"), [([], "12:04:05"), (["--timezone", "UTC"], "03:04:05")])
def test_the_clock_of_top_is_that_of_its_scheduler(
    run: Run, server: FakeServer, capsys: Capture, args: list[str], shown: str
) -> None:
    server.greeting = {**HELLO, "zone": "Asia/Tokyo"}
    server.answer = lambda request: (
        listing()(request) if request["op"] == "jobs" else [{"ok": machine()}]
    )
    assert run(top, *args) == 0
    assert shown in capsys.readouterr().out


def test_jobs_keep_the_clocks_of_their_shell(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.greeting = {**HELLO, "zone": "Asia/Tokyo"}
    server.answer = answer
    monkeypatch.setenv("MGPU_TZ", "Europe/Berlin")
    assert run(srun, "--begin", "16:00", "--", "true") == 0
    wish = server.requests[-1]["spec"]
    assert isinstance(wish, dict)
    assert b"TZ=UTC" in wish["env"]
    assert os.environ["TZ"] == "UTC"


def test_an_unknown_zone_is_refused(run: Run, capsys: Capture) -> None:
    assert run(audit, "--timezone", "Mars/Base") == 2
    assert '"Mars/Base" is no time zone' in capsys.readouterr().err
    assert zone.Shown.name == ""
