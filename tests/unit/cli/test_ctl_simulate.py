"""mgpu_ctl simulate: the figures of a small trace, and of the machine's own jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from mgpu.cli import base
from mgpu.cli.ctl import ctl
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, job, listing

Call = Callable[..., tuple[int, str, str]]
TRACE = """submit,user,gpus,run,limit
0,ada,1,100,200
0,ada,1,100,200
10,bob,2,50,60
20,cleo,1,10,10
"""


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return str(path)


@pytest.fixture
def call(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> Call:

    def status(*args: str) -> tuple[int, str, str]:
        code = base.status_of(ctl, ["simulate", *args])
        said = capsys.readouterr()
        return code, said.out, said.err

    return status


def test_policies_side_by_side(call: Call, trace: str, golden: Golden) -> None:
    code, out, _ = call(trace, "--gpus", "2", "--users")
    assert code == 0
    golden.check("cli/simulate.txt", out)


def test_as_json(call: Call, trace: str) -> None:
    code, out, _ = call(trace, "--gpus", "2", "--policy", "easy", "--json")
    assert code == 0
    assert json.loads(out)["easy"]["jobs"] == 4


def test_the_machine_s_own_jobs(call: Call, server: FakeServer) -> None:
    ran = {
        "state": "COMPLETED",
        "started": MOMENT,
        "ended": MOMENT + 60,
        "code": 0,
        "elapsed": 60.0,
    }
    rows = listing(job(id=1, **ran), job(id=2), job(id=3, gpus=0, **ran))

    def answer(request: dict[str, object]) -> Iterable[dict[str, object]]:
        if request["op"] == "jobs":
            return rows({})
        info = {"backend": "simulated", "version": "1", "gpus": [], "pending": 0, "running": 0}
        return [{"ok": info}]

    server.answer = answer
    code, out, err = call("--history", "--json", "--socket", str(server.path))
    assert err == ""
    assert code == 0
    assert json.loads(out)["default"]["jobs"] == 1


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "give a TRACE, or --history"),
        (["{trace}", "--policy", "magic"], "no policy 'magic'"),
        (["{trace}", "--gpus", "1", "--first", "0"], "--first"),
        (["{trace}", "--load", "nan"], '"nan" is not a number of 0 to 100'),
        (["{trace}", "--limit-factor", "inf"], '"inf" is not a number of 0 to 100'),
    ],
)
def test_wrong_use_is_named(call: Call, trace: str, args: list[str], told: str) -> None:
    code, _, err = call(*(word.replace("{trace}", trace) for word in args))
    assert code == 2
    assert told in err


def test_a_file_that_is_no_trace_is_named(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "not.csv"
    path.write_text("a,b\n1,2\n")
    code, _, err = call(str(path))
    assert code == 1
    assert err.startswith("mgpu_test: error: ")
    assert "not.csv: line 1: has not the columns" in err


def test_jobs_that_do_not_fit_are_counted(call: Call, trace: str) -> None:
    code, out, err = call(trace, "--gpus", "1", "--policy", "fifo", "--json")
    assert (code, json.loads(out)["fifo"]["jobs"]) == (0, 3)
    assert "note: 1 of 4 jobs are left out: without a run time, or with none" in err
