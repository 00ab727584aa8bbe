"""mgpu_job history, env and redo: what is asked, and what is printed."""

from __future__ import annotations

import json
import pwd
from collections.abc import Iterable
from typing import Any

import pytest

from mgpu.cli.job_history import env, history
from mgpu.cli.job_redo import redo
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run

Capture = pytest.CaptureFixture[str]
ROWS = [
    [MOMENT, "Submitted", 0, 1001, "priority 0"],
    [MOMENT + 5, "Started", 1, -1, "on gpu0, gpu1"],
    [MOMENT + 6, "Launched", 1, -1, "process 4242"],
    [MOMENT + 65, "CancelRequested", 0, 1001, ""],
    [MOMENT + 66, "Finished", 1, -1, "CANCELLED: signal 15: evil\x1b[31m"],
    [MOMENT + 67, "Newer", 0, -1, "of a newer scheduler"],
]
SPEC: dict[str, Any] = {"argv": [b"x"], "env": [b"B=2", b"A=1\xff\n"], "gpus": 2, "name": "n"}


def submission(**changed: object) -> Message:
    told = {"states": ["FAILED"], "spec": SPEC, "lost_gpus": 0, "origin": 1, "dependents": []}
    return {"ok": told | changed}


def test_the_history(
    run: Run, server: FakeServer, golden: Golden, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd(("ada", *"x" * 6)))
    server.answer = lambda _: [{"ok": {"rows": ROWS}}]
    assert run(history, "42_7") == 0
    golden.check("cli/history.txt", capsys.readouterr().out)
    assert server.requests == [{"op": "history", "jobs": ["42_7"]}]
    assert run(history, "42", "--json") == 0
    golden.check("cli/history.json", capsys.readouterr().out)


def test_the_variables(run: Run, server: FakeServer, capfdbinary: Any) -> None:
    server.answer = lambda _: [submission()]
    assert run(env, "1") == 0
    assert capfdbinary.readouterr().out == b"A=1\\udcff\\n\nB=2\n"
    assert run(env, "1", "--null") == 0
    assert capfdbinary.readouterr().out == b"A=1\xff\n\0B=2\0"
    assert run(env, "1", "--json") == 0
    assert json.loads(capfdbinary.readouterr().out) == {"A": "1\udcff\n", "B": "2"}


def scheduler(told: dict[object, Message]) -> Any:
    """Answers questions by ``told`` and gives new numbers from 50 on."""
    new = iter(range(50, 100))

    def answer(request: Message) -> Iterable[Message]:
        if request["op"] == "submission":
            return [told[request["jobs"][0]]]  # type: ignore[index]
        return [{"ok": {"first": next(new), "count": 1}}]

    return answer


def submitted(server: FakeServer) -> list[dict[str, Any]]:
    return [one["spec"] for one in server.requests if one["op"] == "submit"]  # type: ignore[misc]


def test_a_job_is_submitted_as_it_was_but_for_what_is_given(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = scheduler({1: submission()})
    assert run(redo, "1") == 0
    assert capsys.readouterr().out == "Submitted job 50, as 1 was\n"
    changes = ["--gpus", "1", "--mem", "8G", "--time-limit", "2h", "--hold", "-d", "afterok:9"]
    assert run(redo, "1", "--parsable", *changes, "--venv", "/v", "--priority", "0") == 0
    assert capsys.readouterr().out == "51\n"
    as_it_was, changed = submitted(server)
    assert as_it_was == SPEC
    assert changed == SPEC | {
        "gpus": 1, "gpu_mem": 8192, "time_limit": 7200, "hold": True, "dependency": "afterok:9",
        "activate": {"mode": "venv", "path": b"/v"}, "priority": 0,
    }  # fmt: skip


def test_followers_wait_for_the_new_ones(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = scheduler(
        {
            1: submission(dependents=[["3", "afterok:1,afterany:2"], ["4", "afterok:1_7"]]),
            3: submission(origin=3, dependents=[["4", "afterok:3"], ["5", "after:3+10"]]),
            4: submission(origin=4),
            5: submission(origin=5),
        }
    )
    assert run(redo, "--cascade", "--parsable", "1") == 0
    assert capsys.readouterr().out.split() == ["50", "51", "52", "53"]
    needs = [spec.get("dependency") for spec in submitted(server)]
    assert needs[1] == "afterok:50,afterany:2"
    assert needs[2] in ("afterok:50_7", "afterok:51")
    assert needs[3] == "after:51+10"


@pytest.mark.parametrize(
    ("told", "args", "status"),
    [
        (submission(states=["FAILED", "RUNNING"]), [], 1),
        (submission(lost_gpus=1), [], 1),
        (submission(lost_gpus=1), ["--gpu-ids", "0,1"], 0),
        (submission(), ["--gpus", "many"], 2),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    told: Message, args: list[str], status: int, run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = scheduler({1: told})
    assert run(redo, "1", *args) == status
    assert bool(submitted(server)) == (status == 0)
    assert bool(capsys.readouterr().err) == (status != 0)
