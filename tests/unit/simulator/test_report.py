from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mgpu.core.policy import Policy
from mgpu.simulator.__main__ import main
from mgpu.simulator.compare import NAMES, policies, simulate
from mgpu.simulator.report import table, to_json, users_table
from mgpu.simulator.trace import TraceJob

ROOT = Path(__file__).resolve().parents[3]
JOBS = [TraceJob(0, "ann", 1, 3600, 3600), TraceJob(0, "bob", 1, 3600, 3600)]
TRACE = "submit,user,gpus,run,limit\n0,ann,1,3600,3600\n0,bob,1,3600,3600\n"


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return str(path)


def test_the_baselines_differ_from_the_base_in_order_and_passing_alone() -> None:
    base = Policy(margin=7)
    made = policies(base=base)
    assert list(made) == ["default", "fifo", "first-fit", "easy"]
    assert made["default"] is not None
    assert made["default"] == base
    rules = {name: (made[name].order, made[name].backfill) for name in list(made)[1:]}
    assert rules == {
        "fifo": ("fifo", "none"),
        "first-fit": ("fifo", "greedy"),
        "easy": ("fifo", "reserve"),
    }
    assert all(policy.margin == 7 for policy in made.values())


def test_an_unknown_policy_is_no_policy() -> None:
    with pytest.raises(KeyError):
        policies(["best"])


def test_the_table_has_a_line_for_each_policy() -> None:
    text = table(simulate(JOBS, 1, policies(["fifo", "easy"])))
    assert text.splitlines() == [
        "policy  jobs  unfinished  mean wait h  median h  p95 h  p95 h, 4+ GPUs  slowdown"
        "   Jain    used",
        "fifo       2           0         0.50      0.50   1.00            0.00       1.5"
        "  0.900  100.0%",
        "easy       2           0         0.50      0.50   1.00            0.00       1.5"
        "  0.900  100.0%",
    ]


def test_the_table_of_users() -> None:
    text = users_table(simulate(JOBS, 1, policies(["fifo"])))
    assert text.splitlines() == [
        "user  fifo: wait h  slowdown",
        "ann           0.00       1.0",
        "bob           1.00       2.0",
    ]


def test_json_holds_everything() -> None:
    results = simulate(JOBS, 1, policies(["fifo"]))
    fifo = json.loads(to_json(results))["fifo"]
    assert fifo["mean_wait"] == 1800
    assert fifo["users"]["bob"] == {
        "jobs": 1, "gpu_seconds": 3600, "mean_wait": 3600, "mean_slowdown": 2
    }  # fmt: skip


def test_the_command_compares_all_policies(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([trace, "--gpus", "1", "--users"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:5]] == list(NAMES)
    assert "bob" in out


def test_the_command_speaks_json(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([trace, "--policy", "easy,fifo", "--json", "--first", "1"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [(name, figures["jobs"]) for name, figures in results.items()] == [
        ("easy", 1),
        ("fifo", 1),
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--gpus", "0"], "'0' is no whole number above 0"),
        (["--policy", "fifo,best"], "no policy 'best'; there are default, fifo"),
    ],
)
def test_wrong_arguments_are_named(
    trace: str, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([trace, *arguments])
    assert stopped.value.code == 2
    assert problem in capsys.readouterr().err


def test_a_trace_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.csv")]) == 1
    (tmp_path / "bad.csv").write_text("a,b\n")
    assert main([str(tmp_path / "bad.csv")]) == 1
    (tmp_path / "large.csv").write_text("submit,user,gpus,run\n0,ann,9,5\n")
    assert main([str(tmp_path / "large.csv")]) == 1
    missing, bad, large = capsys.readouterr().err.splitlines()
    assert "No such file" in missing
    assert "line 1: has not the columns" in bad
    assert "no job fits on 8 GPUs" in large


def test_the_script_says_what_it_does() -> None:
    script = str(ROOT / "scripts/simulate")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert "--limit-factor" in done.stdout
