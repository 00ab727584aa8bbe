"""``@`` and ``@~1`` instead of the number of a job, wherever one is named."""

from __future__ import annotations

import click
import pytest

from mgpu.cli.cancel import cancel
from mgpu.cli.ctl_audit import audit
from mgpu.cli.ctl_jobs import limit
from mgpu.cli.job_history import env, history
from mgpu.cli.job_hold import hold, release
from mgpu.cli.job_log import log
from mgpu.cli.job_redo import redo
from mgpu.cli.job_show import show
from mgpu.cli.job_signal import signal
from mgpu.cli.job_update import update
from mgpu.cli.queue import queue
from mgpu.cli.stats import stats
from tests.lib.fake_server import FakeServer, Message
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]
NEWEST = 40


@pytest.fixture(autouse=True)
def scheduler(server: FakeServer) -> None:
    def answer(request: Message) -> list[Message]:
        back = request.get("back", 0)
        assert isinstance(back, int)
        if request["op"] == "newest" and back < 3:
            return [{"ok": {"job": NEWEST - back}}]
        return [{"error": {"code": "UnknownJob", "message": "no more", "path": "", "hint": ""}}]

    server.answer = answer


def named(server: FakeServer) -> list[object]:
    """The jobs of the first request that is not about which are the newest."""
    asked = next(one for one in server.requests if one["op"] != "newest")
    jobs = asked["jobs"]
    assert isinstance(jobs, list)
    return jobs


@pytest.mark.parametrize(
    ("command", "args"),
    [
        (cancel, []),
        (show, []),
        (hold, []),
        (release, []),
        (redo, []),
        (update, ["--priority", "3"]),
        (signal, ["USR1"]),
        (log, []),
        (history, []),
        (env, []),
    ],
)
def test_every_command_knows_the_newest_job(
    command: click.Command, args: list[str], run: Run, server: FakeServer
) -> None:
    run(command, "@~1", *args)
    assert named(server) == [NEWEST - 1]


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["@"], [40]),
        (["@,@~2", "3"], [40, 38, 3]),
        (["@_7"], ["40_7"]),
        (["@~1_[1-5,9],@"], ["39_[1-5,9]", 40]),
    ],
)
def test_it_is_named_as_other_jobs_are(
    words: list[str], jobs: list[object], run: Run, server: FakeServer
) -> None:
    run(cancel, *words)
    assert named(server) == jobs


def test_the_queue_is_asked_about_it(run: Run, server: FakeServer) -> None:
    run(queue, "--jobs", "@")
    assert named(server) == [NEWEST]


def test_reports_are_asked_about_it(run: Run, server: FakeServer) -> None:
    run(stats, "--jobs", "@,@~1")
    assert named(server) == [NEWEST, NEWEST - 1]


@pytest.mark.parametrize(
    ("command", "args"), [(audit, ["--job", "@~1"]), (limit, ["@~1", "4"])], ids=["audit", "limit"]
)
def test_administrators_name_it_too(
    command: click.Command, args: list[str], run: Run, server: FakeServer
) -> None:
    run(command, *args)
    asked = next(one for one in server.requests if one["op"] != "newest")
    assert asked["job"] == NEWEST - 1


@pytest.mark.parametrize(
    ("command", "args"),
    [(stats, ["--jobs", "@_7"]), (audit, ["--job", "42_7"]), (limit, ["42_[1-3]", "4"])],
    ids=["stats", "audit", "limit"],
)
def test_what_is_about_whole_jobs_refuses_tasks(
    command: click.Command, args: list[str], run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(command, *args) == 2
    assert "is of an array; name all of that: 4" in capsys.readouterr().err
    assert all(one["op"] == "newest" for one in server.requests)


def test_without_such_a_job_nothing_is_done(run: Run, server: FakeServer, capsys: Capture) -> None:
    assert run(cancel, "@~5") == 1
    assert "no more" in capsys.readouterr().err
    assert [one["op"] for one in server.requests] == ["newest"]


@pytest.mark.parametrize("word", ["@@", "@1", "3@", "@~", "@~x", "@-@~1"])
def test_what_is_no_such_name_is_refused(word: str, run: Run, server: FakeServer) -> None:
    assert run(cancel, word) == 2
    assert server.requests == []
