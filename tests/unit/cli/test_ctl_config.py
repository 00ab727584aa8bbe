"""mgpu_ctl config and reload: what is asked, and what people see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mgpu.cli.ctl_config import config, reload
from tests.lib.fake_server import FakeServer
from tests.unit.cli.conftest import Run

show = config.commands["show"]
Capture = pytest.CaptureFixture[str]


def a_row(key: str, value: str, origin: str = "default", waiting: str | None = None) -> Any:
    return {"key": key, "value": value, "from": origin, "restart": False, "waiting": waiting}


ROWS = [
    a_row("paths.state_dir", '"/a"', waiting='"/b"'),
    a_row("log.level", '"info"', "file /etc/c.toml:3"),
    a_row("log.format", '"\x1b[2J"'),
]


@pytest.fixture(autouse=True)
def answers(server: FakeServer) -> None:
    server.answer = lambda _: [{"ok": {"now": 0.0, "file": "/etc/c.toml", "settings": ROWS}}]


def test_values_with_where_they_come_from(run: Run, server: FakeServer, capsys: Capture) -> None:
    assert run(show) == 0
    assert server.requests == [{"op": "config"}]
    assert capsys.readouterr().out.splitlines() == [
        "file: /etc/c.toml",
        "KEY              VALUE      FROM",
        'paths.state_dir  "/a"       default; "/b" from the next start on',
        'log.level        "info"     file /etc/c.toml:3',
        'log.format       "\\x1b[2J"  default',
    ]


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        (["log"], ["log.level", "log.format"]),
        (["log.level"], ["log.level"]),
        (["--changed"], ["paths.state_dir", "log.level"]),
        (["--changed", "log"], ["log.level"]),
    ],
)
def test_some_of_them(run: Run, capsys: Capture, args: list[str], keys: list[str]) -> None:
    assert run(show, "--json", *args) == 0
    assert [row["key"] for row in json.loads(capsys.readouterr().out)["settings"]] == keys


def test_an_unknown_setting_is_named(run: Run, capsys: Capture) -> None:
    assert run(show, "lg") == 2
    assert "there is no setting 'lg'; the tables are paths, log" in capsys.readouterr().err


def test_a_reload_tells_what_changed(run: Run, server: FakeServer, capsys: Capture) -> None:
    body = {"problems": [], "changed": ["log.level"], "waiting": ["paths.cgroup"]}
    server.answer = lambda _: [{"ok": body}]
    assert run(reload) == 0
    assert server.requests == [{"op": "reload"}]
    out = capsys.readouterr().out
    assert out == "Applied: log.level\nFrom the next start of mgpud on: paths.cgroup\n"


def test_a_refused_one_tells_all_problems(run: Run, server: FakeServer, capsys: Capture) -> None:
    body: Any = {"problems": ["c:1: a", "c:2: b\x1b"], "changed": [], "waiting": []}
    server.answer = lambda _: [{"ok": body}]
    assert run(reload) == 1
    assert capsys.readouterr().err.splitlines() == [
        "reload: error: c:1: a",
        "reload: error: c:2: b\\x1b",
        "reload: hint: nothing was changed; the daemon goes on by what it had",
    ]
