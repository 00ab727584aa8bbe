"""mgpu_ctl reserve: what is asked of the scheduler, and what people see."""

from __future__ import annotations

import grp
import json
import pwd
from collections.abc import Iterator
from typing import Any

import pytest

from mgpu.cli.ctl_reserve import reserve
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run

Capture = pytest.CaptureFixture[str]
HOUR = 3600.0
DAY = 24 * HOUR
create, list_, show, cancel = (
    reserve.commands[word] for word in ("create", "list", "show", "cancel")
)


def row(number: int, start: float, length: float, gpus: list[int], **known: Any) -> dict[str, Any]:
    """A reservation of user ada from ``start`` (seconds from now) on."""
    begin = MOMENT + start
    return {
        "id": number,
        "name": "",
        "start": begin,
        "end": begin + length,
        "active": start <= 0,
        "count": len(gpus),
        "exact": False,
        "gpus": gpus,
        "users": ["ada"],
        "groups": [],
        "projects": [],
        "cron": "",
        "zone": "",
        "preempt": False,
        "mine": False,
        "nobody": False,
        "starts": [begin],
    } | known


COURSE = row(
    3, 5 * HOUR, 4 * HOUR, [0, 1], name="course", groups=["lab", "guests"], users=[],
    cron="0 8 * * *", zone="Europe/Berlin", preempt=True,
    starts=[MOMENT + 5 * HOUR + day * DAY for day in range(5)],
)  # fmt: skip
OTHERS = row(5, -HOUR, 3 * HOUR, [3], users=[], exact=True)
SHORT = row(7, 12 * HOUR, 6 * HOUR, [2], count=2, name="evil\x1b[2J", mine=True)
IDLE = row(8, 2 * DAY, HOUR, [0, 1, 2, 3], users=[], nobody=True)
BODY = {
    "now": MOMENT,
    "zone": "",
    "gpus": [0, 1, 2, 3],
    "reservations": [COURSE, OTHERS, SHORT, IDLE],
}


@pytest.fixture(autouse=True)
def known_accounts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The users and groups of these tests."""

    def only(*names: str) -> Any:
        return lambda name: dict.fromkeys(names)[name]

    monkeypatch.setattr(pwd, "getpwnam", only("ada", "bob"))
    monkeypatch.setattr(grp, "getgrnam", only("lab"))
    yield
    monkeypatch.undo()


def answers(request: Message) -> list[Message]:
    return [{"ok": BODY if request["op"] == "reservations" else {"key": "3"}}]


CREATED: dict[str, Any] = {
    "name": "", "start": None, "end": None, "duration": None, "count": 0, "gpus": [],
    "for_users": [], "for_groups": [], "for_projects": [], "cron": "", "zone": "",
    "preempt": False, "op": "reserve",
}  # fmt: skip


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (
            ["--user", "ada,bob", "--gpus", "2", "--start", "tomorrow 9:00", "--duration", "8h"],
            {"for_users": ["ada", "bob"], "count": 2, "start": 1767430800, "duration": 28800},
        ),
        (
            ["--group", "lab", "--gpu-ids", "0,2", "--end", "now+2h", "--preempt", "--name", "x"],
            {"for_groups": ["lab"], "gpus": [0, 2], "end": 1767330245, "preempt": True,
             "name": "x"},
        ),
        (
            ["-P", "vision", "-G", "1", "--cron", "0 9 * * 1-5", "--duration", "60", "--timezone",
             "Europe/Berlin"],
            {"for_projects": ["vision"], "count": 1, "cron": "0 9 * * 1-5", "duration": 60,
             "zone": "Europe/Berlin"},
        ),
        (["--nobody", "--gpu-spec", "3", "--duration", "60"], {"gpus": [3], "duration": 60}),
    ],
)  # fmt: skip
def test_create(
    args: list[str], asked: dict[str, Any], run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = answers
    assert run(create, *args) == 0
    request = dict(server.requests[-1])
    assert len(str(request.pop("key"))) == 32
    assert request == CREATED | asked
    assert capsys.readouterr().out == "Created reservation 3\n"


def test_create_prints_the_id_alone(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = answers
    assert run(create, "--nobody", "-G1", "--duration", "60", "--parsable") == 0
    assert capsys.readouterr().out == "3\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-G1"], "say whom it is for"),
        (["-G1", "--user", "ada", "--nobody"], "say whom it is for"),
        (["-G1", "--user", "ada,eve"], "this machine has no user 'eve'"),
        (["-G1", "--group", "guests"], "this machine has no group 'guests'"),
        (["--nobody", "--gpu-ids", "a"], "names no GPUs"),
        (["--nobody", "-G1", "--start", "soon"], '--start: "soon" is not a time'),
        (["--nobody", "-G1", "--start", "now", "--timezone", "Mars"], '"Mars" is no time zone'),
    ],
)
def test_create_refused(
    args: list[str], message: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = answers
    assert run(create, *args) == 2
    assert message in capsys.readouterr().err
    assert all(request["op"] == "reservations" for request in server.requests)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("table", []),
        ("zone", ["--timezone", "Europe/Berlin"]),
        ("active", ["--active"]),
        ("user", ["--user", "ada"]),
        ("json", ["--json", "--user", "ada"]),
        ("timeline", ["--timeline"]),
        ("timeline_week", ["--timeline", "--range", "7d", "--from", "today"]),
        ("timeline_minute", ["--timeline", "--range", "1m"]),
        ("timeline_hour", ["--timeline", "--range", "1h"]),
        ("timeline_zone", ["--timeline", "--timezone", "Asia/Tokyo", "--to", "now+6h"]),
    ],
)
def test_list(
    name: str, args: list[str], run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    server.answer = answers
    assert run(list_, *args) == 0
    golden.check(f"cli/reserve_list_{name}.txt", capsys.readouterr().out)


def test_a_timeline_without_reservations(
    run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    server.answer = lambda _: [{"ok": BODY | {"reservations": []}}]
    assert run(list_, "--timeline") == 0
    golden.check("cli/reserve_list_timeline_none.txt", capsys.readouterr().out)


def test_a_timeline_of_no_time(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = answers
    assert run(list_, "--timeline", "--to", "today") == 2
    assert "there is nothing to draw" in capsys.readouterr().err


@pytest.mark.parametrize("number", [3, 7])
def test_show(number: int, run: Run, server: FakeServer, golden: Golden, capsys: Capture) -> None:
    server.answer = answers
    assert run(show, str(number)) == 0
    golden.check(f"cli/reserve_show_{number}.txt", capsys.readouterr().out)


def test_show_what_is_not_there(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = answers
    assert run(show, "4") == 1
    assert "there is no reservation 4" in capsys.readouterr().err


def test_cancel(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = answers
    assert run(cancel, "3-4") == 0
    assert server.requests == [{"op": "unreserve", "id": 3}, {"op": "unreserve", "id": 4}]
    assert capsys.readouterr().out == "Cancelled reservation 3\nCancelled reservation 4\n"


def test_json_is_all_that_is_known(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = answers
    assert run(list_, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"reservations": BODY["reservations"]}
