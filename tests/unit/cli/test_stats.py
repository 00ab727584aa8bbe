"""mgpu_stats: what it asks for, and how it shows what it is told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

from mgpu.cli import stats_tables, stats_week
from mgpu.cli.stats import stats
from mgpu.model.time import Now
from mgpu.store.reports import RUN_FIELDS, TOP_FIELDS
from mgpu.store.tallies import FIELDS
from mgpu.system import clock
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run

Capture = pytest.CaptureFixture[str]
HOUR = 3600.0
DAY = 24 * HOUR
TODAY = int(MOMENT // DAY * DAY)


def sums(name: str, gpu_hours: float, **known: Any) -> list[Any]:
    """A row of sums."""
    row: dict[str, Any] = dict.fromkeys(FIELDS, 0)
    row |= {"jobs": 12, "attempts": 14, "completed": 9, "failed": 2, "timeout": 1, "success": 75.0}
    row |= {"gpu_seconds": gpu_hours * HOUR, "waits": 12, "wait_mean": 90.4, "wait_max": 4000.0}
    row |= {"wait_median": 30.0, "wait_p95": 3600.0}
    row |= {"utilization": 61.2, "idle_gpu_seconds": 5400.0, "memory": 48.0, "peak": 7000}
    return [name, *(row | known).values()]


NOTHING = {"success": None, "wait_mean": None, "wait_median": None, "wait_p95": None}
NOTHING |= {"utilization": None, "memory": None}


def attempt(**known: Any) -> list[Any]:
    """A row of the table of attempts."""
    row: dict[str, Any] = dict.fromkeys(RUN_FIELDS)
    row |= {"job": 42, "array": 0, "tasks": 1, "attempt": 1, "user": "alice", "name": "train"}
    row |= {"project": "vision", "state": "COMPLETED", "final": True, "code": 0, "mine": True}
    row |= {"submitted": MOMENT - 9 * HOUR, "started": MOMENT - 8 * HOUR, "ended": MOMENT - HOUR}
    row |= {"elapsed": 7 * HOUR, "wait": HOUR, "gpus": [0, 1], "gpu_seconds": 14 * HOUR}
    row |= {"time_limit": 8 * 3600, "gpu_mem": 8000, "peak": 7000, "mean": 5000.5}
    row |= {"utilization": 61.2, "idle": 60.0}
    assert known.keys() <= row.keys()
    return list((row | known).values())


NEVER: dict[str, Any] = dict.fromkeys(
    ("started", "code", "wait", "peak", "mean", "utilization", "idle")
)
NEVER |= {"elapsed": 0.0, "gpus": [], "gpu_seconds": 0.0}
TABLES: dict[str, tuple[list[str], list[list[Any]]]] = {
    "total": (["total", *FIELDS], [sums("all", 100.5)]),
    "user": (["user", *FIELDS], [sums("alice", 90.25), sums("b\x1bob", 10.25, **NOTHING)]),
    "project": (["project", *FIELDS], [sums("vision", 90.25), sums("*", 10.25)]),
    "gpu": (["gpu", *FIELDS], [sums("gpu0", 60), sums("gpu1", 40.5)]),
    "state": (["state", *FIELDS], [sums("COMPLETED", 60)]),
    "day": (["day", *FIELDS], [[MOMENT // DAY * DAY + n * DAY, *sums("", 9)[1:]] for n in (-1, 0)]),
    "top": (
        list(TOP_FIELDS),
        [
            [42, "alice", "train", "vision", "COMPLETED", 2, 30 * HOUR, True],
            [43, "bob", None, None, "RUNNING", 1, 3 * HOUR, False],
        ],
    ),
    "hours": (
        ["hour", "gpu_seconds"],
        [[MOMENT // HOUR * HOUR - (167 - n) * HOUR, (n % 24) * 300.0] for n in range(168)],
    ),
    "runs": (
        list(RUN_FIELDS),
        [
            attempt(),
            attempt(attempt=2, state="TIMEOUT", final=False, code=None, signal=15),
            attempt(job=51, array=50, user="bob", name=None, project=None, state="FAILED", code=1),
            attempt(job=60, array=60, tasks=99, attempt=0, state="CANCELLED", **NEVER),
            attempt(job=61, state="RUNNING", final=False, gpus=["GPU-0123456789abcdef"]),
        ],
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def answering(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a history, at a fixed time, asked by a user."""

    def answer(request: Message) -> Iterable[Message]:
        names = request["tables"]
        assert isinstance(names, list)
        for name in names:
            fields, rows = TABLES[name]
            yield {"part": {"table": name, "fields": fields, "rows": rows}}
        yield {"ok": {"since": MOMENT - 30 * DAY, "until": MOMENT}}

    server.answer = answer
    monkeypatch.setattr(clock, "now", lambda: Now(MOMENT, 1000.0))
    monkeypatch.setattr(os, "geteuid", lambda: 1001)


@pytest.mark.parametrize(
    ("args", "file"),
    [
        ([], "report"),
        (["--by", "job"], "jobs"),
        (["--by", "user"], "users"),
        (["--by", "user", "--no-header"], "users_bare"),
        (["--by", "state"], "states"),
        (["--by", "day"], "days"),
        (["--by", "top"], "top"),
        (["--by", "hour"], "week"),
        (["--json", "--by", "job"], "jobs_json"),
        (["--json"], "report_json"),
        (["--csv"], "jobs_csv"),
        (["--csv", "--by", "user"], "users_csv"),
    ],
)
def test_what_is_shown(
    run: Run, golden: Golden, capsys: Capture, args: list[str], file: str
) -> None:
    assert run(stats, *args) == 0
    golden.check(f"cli/stats_{file}.txt", capsys.readouterr().out)


def test_on_a_terminal_the_same_is_said_with_colours(golden: Golden) -> None:
    told = {"since": MOMENT - DAY, "until": MOMENT}
    shown = stats_tables.shown(TABLES, told, 160)
    golden.check("cli/stats_terminal_160.txt", "\n".join(shown) + "\n")


def test_names_make_no_lines_of_their_own_in_csv_and_move_no_cursor() -> None:
    rows: list[list[Any]] = [["e\x1b[31m", 1.5], ["a\u2028b", None], ["c\r\nroot,1", True]]
    assert stats_tables.as_csv((["name", "wait"], rows)) == [
        "name,wait",
        "e\\x1b[31m,1.5",
        "a\\u2028b,",
        '"c\\r\\nroot,1",1',
    ]


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        ([], {"since": int(MOMENT - 30 * DAY), "until": 0, "mine": False, "top": 10}),
        (["--since", "7d"], {"since": int(MOMENT - 7 * DAY), "until": 0}),
        (["--since", "7d", "--until", "1d"], {"until": int(MOMENT - DAY)}),
        (["--me", "--user", "alice,bob"], {"mine": True, "users": ["alice", "bob"]}),
        (["--state", "F,TO"], {"states": ["FAILED", "TIMEOUT"]}),
        (["--project", "vision"], {"projects": ["vision"]}),
        (["-j", "3-5,9"], {"jobs": [3, 4, 5, 9], "tables": ["runs"], "since": 0}),
        (["-j", "123456"], {"jobs": [123456]}),
        (["--by", "gpu", "--top", "3", "--limit", "5"], {"tables": ["gpu"], "top": 3, "limit": 5}),
        (["--csv"], {"tables": ["runs"]}),
        (["--by", "day", "--since", "2h"], {"since": int(MOMENT - 7200), "days": [TODAY]}),
        (["--by", "day"], {"since": TODAY - 30 * 86400, "tables": ["day"],
                           "days": [TODAY - n * 86400 for n in range(30, -1, -1)]}),
        (["--by", "day", "--since", "3d", "--until", "1d"],
         {"days": [TODAY - n * 86400 for n in (3, 2, 1)]}),
    ],
)  # fmt: skip
def test_what_is_asked(run: Run, server: FakeServer, args: list[str], asked: Message) -> None:
    assert run(stats, *args) == 0
    (request,) = server.requests
    assert {name: request[name] for name in asked} == asked


@pytest.mark.parametrize(
    "args",
    [
        ["--json", "--csv"],
        ["--since", "soon"],
        ["--since", "1d", "--until", "2d"],
        ["--by", "colour"],
        ["--state", "LOST"],
        ["-j", "x"],
        ["-j", ""],
        ["-j", "0"],
        ["--limit", "0"],
        ["--by", "day", "--since", "2020-01-01"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    run: Run, server: FakeServer, capsys: Capture, args: list[str]
) -> None:
    assert run(stats, *args) == 2
    assert server.requests == []
    assert capsys.readouterr().err


def test_an_empty_history_is_shown_as_one(run: Run, server: FakeServer, capsys: Capture) -> None:
    def answer(request: Message) -> Iterable[Message]:
        for name in request["tables"]:  # type: ignore[attr-defined]
            yield {"part": {"table": name, "fields": TABLES[name][0], "rows": []}}
        yield {"ok": {"since": 0.0, "until": MOMENT}}

    server.answer = answer
    assert run(stats) == 0
    assert capsys.readouterr().out == "What ended from 01-01 00:00 to 01-02 03:04\n"


def test_the_fullest_hour_is_the_darkest() -> None:
    rows = [[float(n) * HOUR, busy] for n, busy in enumerate([0.0, HOUR, 8 * HOUR])]
    assert stats_week.lines(rows)[2].endswith(" .@")
