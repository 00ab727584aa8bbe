"""Arrays and sweeps at the terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mgpu.cli.cancel import cancel
from mgpu.cli.job_update import update
from mgpu.cli.queue import queue
from mgpu.cli.srun import srun
from mgpu.protocol.names import JOB_FIELDS
from tests.lib.fake_server import Answer, FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import Run, job

Capture = pytest.CaptureFixture[str]
MANY = ",".join(str(task) for task in range(100, 400, 3))
ROWS = [
    job(id=42, array=42, tasks="8-99999", max_concurrent=4, reason="JobArrayTaskLimit",
        name="t-{lr}"),
    job(id=43, array=42, tasks="6", state="RUNNING", gpu_ids=[0], name="t-0.1",
        params={"lr": "0.1"}),
    job(id=50, array=50, tasks=MANY, reason="Resources"),
    job(id=51, reason="Priority"),
    job(id=52, array=52, tasks="1-3", reason="JobHeldUser", user="bob", mine=False, name=None,
        command=None, cwd=None, params=None),
]  # fmt: skip


def says(*messages: dict[str, object]) -> Answer:
    return lambda _request: messages


def listing(*rows: list[object]) -> Answer:
    return says({"part": {"fields": list(JOB_FIELDS), "rows": list(rows)}}, {"ok": {"count": 0}})


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("default", []),
        ("one", ["-j", "42_6"]),
        ("some", ["-j", "42_[5-10],51"]),
        ("each", ["-r", "-j", "52,42_[6-9]"]),
        ("letters", ["-o", "%i %F %K %A"]),
        ("tree", ["--tree"]),
    ],
)
def test_golden(
    name: str, args: list[str], run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    chosen = {"one": ROWS[1:2], "some": [*ROWS[:2], ROWS[3]], "each": [*ROWS[:2], ROWS[4]]}
    server.answer = listing(*chosen.get(name, ROWS))
    assert run(queue, *args) == 0
    golden.check(f"cli/queue_array_{name}.txt", capsys.readouterr().out)


def test_what_is_asked_for(run: Run, server: FakeServer) -> None:
    server.answer = listing()
    run(queue, "-j", "42_7,42_[1-5%2],3-4")
    assert server.requests[-1]["jobs"] == ["42_7", "42_[1-5]", 3, 4]


def test_unknown_tasks(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing(ROWS[1])
    assert run(queue, "-j", "42_6,42_7,42,43,9_1") == 0
    assert capsys.readouterr().err.splitlines() == [
        "mgpu_queue: error: job 42_7: unknown",
        "mgpu_queue: error: job 9_1: unknown",
    ]


def test_cancel(run: Run, server: FakeServer, capsys: Capture) -> None:
    told = [["42_7", "cancelled"], [3, "ended"], ["9_1", "unknown"]]
    server.answer = says({"ok": {"jobs": told}})
    assert run(cancel, "42_7", "3", "9_1") == 1
    assert server.requests[-1]["jobs"] == ["42_7", 3, "9_1"]
    shown = capsys.readouterr()
    assert shown.out == "Cancelled job 42_7\nJob 3 has ended already\n"
    assert "job 9_1: unknown, or not yours" in shown.err


@pytest.mark.parametrize(
    ("outcome", "status", "words"),
    [
        ("changed", 0, "Changed job 42\n"),
        ("ended", 1, "job 42: has ended\n"),
        ("unknown", 1, "job 42: unknown, or not yours\n"),
    ],
)
def test_update(
    outcome: str, status: int, words: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = says({"ok": {"jobs": [[42, outcome]]}})
    assert run(update, "42", "--max-concurrent", "4") == status
    assert server.requests[-1] == {"op": "update", "job": 42, "max_concurrent": 4}
    shown = capsys.readouterr()
    assert (shown.out + shown.err).endswith(words)


def test_a_file_of_parameters(run: Run, server: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "grid.csv"
    server.answer = says({"ok": {"first": 7, "count": 1}})
    file.write_text('\ufefflr, bs\n0.1,32\n\n0.01,"6,4"\n')
    assert run(srun, "--param-file", str(file), "--param", "seed=1,2", "--", "true") == 0
    spec = server.requests[-1]["spec"]
    assert isinstance(spec, dict)
    assert spec["sweep"] == [
        [["lr", "bs"], [["0.1", "32"], ["0.01", "6,4"]]],
        [["seed"], [["1"], ["2"]]],
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lr,bs\n1\n", "row 2 has 1 values, not 2"),
        ("lr\n", "expected a line of names and at least one of values"),
        ("", "expected a line of names and at least one of values"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_gives_no_parameters(
    text: str | None, problem: str, run: Run, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "grid.csv"
    if text is not None:
        file.write_text(text)
    assert run(srun, "--param-file", str(file), "--", "true") == 2
    assert problem in capsys.readouterr().err


def test_a_file_without_an_end_is_not_read(run: Run, tmp_path: Path, capsys: Capture) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in ("/dev/zero", str(tmp_path / "fifo"), str(tmp_path)):
        assert run(srun, "--param-file", path, "--", "true") == 2
    assert capsys.readouterr().err.count("no regular file") == 2


def test_a_file_that_is_too_large(run: Run, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "grid.csv"
    file.write_text("a\n" + "1\n" * (1 << 19))
    assert run(srun, "--param-file", str(file), "--", "true") == 2
    assert "is larger than 1 MiB" in capsys.readouterr().err


@pytest.mark.parametrize("values", ["a\nb", "x" * 140_000])
def test_values_that_are_no_line_of_csv(values: str, run: Run, capsys: Capture) -> None:
    assert run(srun, "--param", f"k={values}", "--", "true") == 2
    assert "the values are no line of CSV" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["lr", "=1", ""])
def test_what_no_parameter_is(word: str, run: Run, capsys: Capture) -> None:
    assert run(srun, "--param", word, "--", "true") == 2
    assert "is not NAME=VALUE,VALUE,..." in capsys.readouterr().err


def test_too_many_values(run: Run, capsys: Capture) -> None:
    assert run(srun, "--param", "a=" + "1," * 4600, "--", "true") == 2
    assert "9202 values and rows; one submission takes 9000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ([["7_0", "COMPLETED", 0, None, ""], ["7_1", "COMPLETED", 0, None, ""]], 0),
        ([["7_0", "COMPLETED", 0, None, ""], ["7_1", "FAILED", 3, None, ""]], 3),
        ([["7_0", "FAILED", None, 9, ""], ["7_1", "FAILED", 3, None, ""]], 137),
        ([["7_[0-1]", "CANCELLED", None, None, ""]], 1),
    ],
)
def test_wait_gives_the_highest_code(
    ends: list[list[object]], status: int, run: Run, server: FakeServer, capsys: Capture
) -> None:
    parts: list[dict[str, object]] = [{"part": {"job": end}} for end in ends]
    answers: dict[str, list[dict[str, object]]] = {
        "submit": [{"ok": {"first": 7, "count": 1}}],
        "wait": [*parts, {"ok": {}}],
    }
    server.answer = lambda request: answers[str(request["op"])]
    assert run(srun, "--wait", "--array", "0-1", "--", "true") == status
    shown = capsys.readouterr()
    bad = [str(end[0]) for end in ends if end[1] != "COMPLETED"]
    assert [line.split()[3] for line in shown.err.splitlines()] == bad
