"""mgpu_queue: what it asks for, what it shows, how it ends."""

from __future__ import annotations

import json

import pytest

from mgpu.cli.queue import queue
from mgpu.protocol.messages import parse_request
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run, job, listing

Capture = pytest.CaptureFixture[str]
NEEDS = "needs 2 GPUs with 20480 MiB each; free: gpu1 (22528 MiB); gpu0 held by job 7"
ROWS = [
    job(
        id=7,
        state="RUNNING",
        started=MOMENT + 60,
        elapsed=183845.7,
        gpus=2,
        gpu_mem=8192,
        gpu_ids=[0, 1],
        attempt=1,
        time_limit=259200,
    ),
    job(id=8, state="COMPLETING", elapsed=59, gpu_ids=[2], user="bob", name=None, command=None,
        cwd=None, mine=False),
    job(id=9, reason="Resources", detail=NEEDS, gpus=2, gpu_mem=20480, priority=5, time_limit=600),
    job(id=10, reason="Priority", name="a-name-of-more-than-sixteen", user="long-user-name"),
    job(id=11, name="evil\x1b[31m\u202e", command="rm\n\x07", cwd="/\x9b", reason="Resources",
        detail="held by \x1b]0;x\x07"),
    job(id=12, gpus=0, project="thesis", qos="high", cpus=4, host_mem=2048, gpu_type="A100",
        dependency="afterok:9", begin=MOMENT + 3600),
    job(id=13, state="COMPLETED", started=MOMENT, ended=MOMENT + 5, elapsed=5, code=0),
    job(id=14, state="FAILED", ended=MOMENT + 5, elapsed=5, code=3),
    job(id=15, state="FAILED", ended=MOMENT + 5, elapsed=5, signal=9),
    job(id=16, state="LAUNCH_FAILED", ended=MOMENT, detail="cannot open /etc/log: EACCES"),
    job(id=17, state="RUNNING", elapsed=9000, gpu_ids=[0, 3], peak=[[0, 8192], [3, 700]],
        note="its GPUs idle for 2:30:00"),
    job(id=18, reason="Resources", detail="needs 1 GPU", note="switched out: its GPUs idle"),
    job(id=19, state="OUT_OF_MEMORY", detail="uses 9000 MiB", note="uses 9000 MiB", gpu_ids=[1]),
    job(id=100_000, state="NEW_STATE", elapsed=None),
]  # fmt: skip


def asked(server: FakeServer) -> object:
    """The one request, as the scheduler understands it."""
    (request,) = server.requests
    return parse_request(request)


EVERY_LETTER = "|".join(f"{letter}:%{letter}" for letter in "ACDEFGKLMNPQRSTVZabcefhijklmopqrtux")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("default", []),
        ("no_header", ["-h"]),
        ("squeue_format", ["-o", "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"]),
        ("every_letter", ["--format", EVERY_LETTER]),
        ("percent", ["-o", "100%% <%3i> [%.4t]"]),
        ("json", ["--json"]),
    ],
)
def test_golden(
    name: str, args: list[str], run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    server.answer = listing(*ROWS)
    assert run(queue, *args) == 0
    golden.check(f"cli/queue_{name}.txt", capsys.readouterr().out)


def test_empty(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing()
    assert run(queue) == 0
    assert capsys.readouterr().out.split() == [
        "JOBID", "NAME", "USER", "ST", "TIME", "GPUS", "NODELIST(REASON)",
    ]  # fmt: skip
    assert run(queue, "--no-header") == 0
    assert capsys.readouterr().out == ""


def test_no_line_acts_on_a_terminal(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing(*ROWS)
    run(queue, "-o", EVERY_LETTER)
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))


def test_json_gives_text_back_as_it_is(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing(*ROWS)
    run(queue, "--json")
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert [list(entry.values()) for entry in jobs] == ROWS


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], {"scope": None, "ended": False}),
        (["--me"], {"scope": "me"}),
        (["--all"], {"scope": "all", "ended": True}),
        (["--me", "--all"], {"scope": "me", "ended": True}),
        (["-u", "bob, eve"], {"scope": "all", "users": ("bob", "eve")}),
        (["-t", "PD,running"], {"states": ("PENDING", "RUNNING"), "ended": False}),
        (["-t", "f"], {"states": ("FAILED",), "ended": True}),
        (["--limit", "5"], {"limit": 5}),
        (["-j", "3-5,9"], {"jobs": (3, 4, 5, 9), "ended": True, "scope": "all"}),
    ],
)
def test_what_is_asked(
    args: list[str], expected: dict[str, object], run: Run, server: FakeServer
) -> None:
    server.answer = listing(*[job(id=number) for number in (3, 4, 5, 9)])
    assert run(queue, *args) == 0
    request = asked(server)
    assert {name: getattr(request, name) for name in expected} == expected


def ids(output: str) -> list[str]:
    return [line.split()[0] for line in output.splitlines()]


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["-j", "7-16"], ["7", "8", "9", "10", "11", "12"]),
        (["-j", "7-16", "--all"], ["7", "8", "9", "10", "11", "12", "13", "14", "15", "16"]),
        (["-j", "7-16", "-t", "F"], ["14", "15"]),
        (["-j", "7-16", "--all", "--limit", "2"], ["7", "8"]),
        (["-j", "7,8", "--me"], ["7"]),
        (["-j", "7,8", "-u", "bob"], ["8"]),
        (["-j", "13"], []),
    ],
)
def test_named_jobs(
    args: list[str], shown: list[str], run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = listing(*ROWS)
    assert run(queue, "-h", *args) == 0
    assert ids(capsys.readouterr().out) == shown


def test_unknown_jobs(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing(job(id=3))
    assert run(queue, "-h", "-j", "3,4") == 0
    captured = capsys.readouterr()
    assert ids(captured.out) == ["3"]
    assert captured.err.endswith(": error: job 4: unknown\n")
    server.answer = listing()
    assert run(queue, "-j", "4") == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "%w"], 'unknown field %w in "%w"; known are AabCc'),
        (["-o", "%"], "unknown field %"),
        (["-o", "plain"], "names no column"),
        (["-o", "%0i"], "the width 0 is not 1 to 1000"),
        (["-o", "%99999i"], "the width 99999 is not"),
        (["-t", "XX"], "'XX' is no state; known are PD"),
        (["-j", "x"], '"x" names no job; write 42, 42_7, 42_[1-5,9] or 3-5'),
        (["-j", "5-3"], '"5-3" names no job'),
        (["-j", "1-6000"], "more than 5000 jobs are named"),
        (["-j", "0"], '"0" names no job'),
        (["--limit", "0"], "Invalid value for '--limit'"),
        (["--nothing"], "No such option"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_usage_errors(
    args: list[str], message: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(queue, *args) == 2
    assert message in capsys.readouterr().err
    assert server.requests == []
