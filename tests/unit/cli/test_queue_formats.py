"""mgpu_queue: the forms of its output, and its order."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable

import pytest

from mgpu.cli.columns import COLUMNS, UNLETTERED
from mgpu.cli.fields import LETTERS, NAMES
from mgpu.cli.queue import queue
from mgpu.protocol.names import JOB_FIELDS
from tests.lib.fake_server import FakeServer, HangUp, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run, job, listing

Capture = pytest.CaptureFixture[str]
ROWS = [
    job(id=3, name="big", gpus=2, priority=5, reason="Resources", detail="needs 2 GPUs"),
    job(id=4, name="a, b", state="RUNNING", elapsed=90, time_limit=600, gpu_ids=[0, 2], gpus=2,
        started=MOMENT, project="thesis", cpus=4, qos="high", peak=[[0, 8192], [2, 700]]),
    job(id=5, user="bob", state="RUNNING", elapsed=5, gpu_ids=[1], name=None, command=None,
        cwd=None, project=None, params=None, mine=False, started=MOMENT + 85),
    job(id=6, state="FAILED", code=3, elapsed=7, ended=MOMENT + 9, gpu_ids=[1], restarts=2,
        command='say "hi" \x1b[31m'),
    job(id=42, array=42, tasks="8-10", max_concurrent=1, gpus=2, params={"lr": "0.1"}),
    job(id=43, array=42, tasks="7", state="COMPLETING", gpu_ids=[3], note="idle"),
]  # fmt: skip
EVERY_NAME = ",".join(f"{name}:16" for name in NAMES)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("long", ["--long"]),
        ("fields", ["-O", "JobID:8,Name:.6,tres-per-node:8,timeused:.8 |,State:1"]),
        ("every_field", ["-h", "-O", EVERY_NAME]),
        ("csv", ["--csv"]),
        ("csv_columns", ["--csv", "-o", "%i %j %R"]),
        ("csv_no_header", ["--csv", "-h", "-o", "%i %j"]),
        ("group_array", ["--group", "array"]),
        ("group_user", ["--group", "user"]),
        ("group_project", ["-g", "project", "-h"]),
        ("group_qos_csv", ["--group", "qos", "--csv"]),
        ("group_state_json", ["--group", "state", "--json"]),
    ],
)
def test_golden(
    name: str, args: list[str], run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    server.answer = listing(*ROWS)
    assert run(queue, "--all", *args) == 0
    golden.check(f"cli/queue_{name}.txt", capsys.readouterr().out)


def test_csv_is_read_back_as_it_was_shown(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing(*ROWS)
    run(queue, "--csv")
    text = capsys.readouterr().out
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(text))}
    assert (rows["4"]["name"], rows["5"]["name"], rows["6"]["code"]) == ("a, b", "", "3")
    assert rows["6"]["command"] == 'say "hi" \\x1b[31m'
    assert all(line.isprintable() for line in text.split("\n"))


def test_groups_count_each_task(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing(*ROWS)
    run(queue, "--group", "array", "--json")
    groups = {group["array"]: group for group in json.loads(capsys.readouterr().out)["groups"]}
    assert (groups[42]["jobs"], groups[42]["pending"], groups[42]["completing"]) == (4, 3, 1)
    assert (groups[42]["gpus"], groups[42]["gpus_waited_for"]) == (1, 6)
    assert (groups[6]["ended"], groups[6]["gpus"]) == (1, 0)


def test_every_letter_has_a_name_and_every_name_a_column() -> None:
    assert set(COLUMNS) - set(LETTERS.values()) == {"p"}  # another letter for the priority
    assert set(LETTERS.values()) <= set(COLUMNS)
    assert not {name.lower() for name in UNLETTERED} & {name.lower() for name in LETTERS}


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("-i", "42 43 6 5 4 3"),
        ("t,-M", "3 42 4 5 43 6"),
        ("-T", "6 43 4 5 3 42"),
        ("user,-priority", "3 4 43 42 6 5"),
        ("-Q,+i", "3 4 5 6 43 42"),
        ("j,i", "5 4 3 6 43 42"),
        ("L", "4 3 5 43 42 6"),
        ("-time-limit,i", "3 5 6 43 42 4"),
        ("TimeUsed,JobID", "3 43 42 5 6 4"),
        ("elapsed", "3 43 42 5 6 4"),
        ("-S,i", "5 4 3 6 43 42"),
    ],
)
def test_sort(by: str, expected: str, run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing(*ROWS)
    assert run(queue, "-h", "-o", "%A", "--sort", by) == 0
    assert capsys.readouterr().out.split() == expected.split()


def test_the_first_of_what_is_sorted(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing(*ROWS)
    assert run(queue, "-h", "-o", "%A", "--sort", "-M", "--limit", "2") == 0
    assert capsys.readouterr().out.split() == ["4", "6"]
    assert server.requests[-1]["limit"] == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-O", "JobIDs"], 'there is no field "JobIDs"; did you mean JobID?'),
        (["-O", "quux"], 'there is no field "quux"; known are Account, ArrayJobID'),
        (["-O", "Name:x20,5"], '"5" in "Name:x20,5" is no field; write JobID, Name:30'),
        (["-O", " , "], "names no column; write for example JobID:10,Name,State"),
        (["-O", "Name:9999"], "the width 9999 is not 1 to 1000"),
        (["--sort", "W"], 'cannot sort by "W"; known are Account'),
        (["--sort", "-piority"], 'cannot sort by "piority"; did you mean Priority?'),
        (["--sort", ","], "names no field; write for example t,-M"),
        (["--group", "colour"], "'colour' is not one of 'array', 'user'"),
        (["--json", "--csv"], "--json and --csv do not go together"),
        (["--json", "-o", "%i"], "--json and --format do not go together"),
        (["--long", "-O", "JobID"], "--Format and --long do not go together"),
        (["--group", "user", "--tree"], "--group and --tree do not go together"),
        (["--start", "--sort", "i"], "--start does not heed --sort"),
        (["--why", "3", "--csv"], "--why does not heed --csv"),
    ],
)
def test_usage_errors(
    args: list[str], message: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(queue, *args) == 2
    assert message in capsys.readouterr().err
    assert server.requests == []


def pieces(*listed: list[list[object]]) -> Callable[[Message], Iterable[Message]]:
    """A scheduler that lists jobs in so many pieces."""

    def answer(_request: Message) -> Iterable[Message]:
        fields: dict[str, object] = {"fields": list(JOB_FIELDS)}
        for rows in listed:
            yield {"part": {"rows": rows, **fields}}
            fields = {}
        yield {"ok": {"count": 0}}

    return answer


def test_the_first_jobs_are_printed_before_the_others_come(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, flushed = io.StringIO(), list[str]()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(out, "flush", lambda: flushed.append(out.getvalue()))
    server.answer = pieces([job(id=1), job(id=2)], [job(id=3)], [job(id=4)])
    assert run(queue, "-o", "%i") == 0
    assert flushed == ["JOBID\n1\n2\n"]
    assert out.getvalue() == "JOBID\n1\n2\n3\n4\n"


def test_pieces_of_arrays_are_put_together(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = pieces(
        [job(id=1), job(id=2, array=2, tasks="5-9"), job(id=3)],
        [job(id=4, array=2, tasks="3"), job(id=5), job(id=6, array=2, tasks="4")],
    )
    run(queue, "-h", "-o", "%i")
    assert capsys.readouterr().out.split() == ["1", "2_3", "2_4", "2_[5-9]", "3", "5"]


def test_a_listing_that_breaks_off_shows_each_job_once(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    whole = pieces([job(id=1), job(id=2)], [job(id=3)])

    def broken(request: Message) -> Iterable[Message]:
        server.answer = whole
        yield from list(whole(request))[:2]
        raise HangUp

    server.answer = broken
    assert run(queue, "-h", "-o", "%i") == 0
    assert capsys.readouterr().out.split() == ["1", "2", "3"]


@pytest.mark.parametrize("args", [["-h"], []])
def test_nothing_is_listed(args: list[str], run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = pieces()
    assert run(queue, "-o", "%i", *args) == 0
    assert capsys.readouterr().out == ("" if args else "JOBID\n")
