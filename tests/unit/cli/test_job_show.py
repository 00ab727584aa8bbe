"""mgpu_job show: what it asks, and all that it tells of a job."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from mgpu.cli.job_show import show
from mgpu.protocol.messages import ListJobs, parse_request
from mgpu.protocol.questions import Logs, Why
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run, job, listing

Capture = pytest.CaptureFixture[str]
WAITING = job(
    id=3,
    reason="Resources",
    detail="needs 2 GPUs",
    gpus=2,
    gpu_mem=8192,
    exclusive=True,
    gpu_type="A100",
    qos="debug",
    project="thesis",
    cpus=4,
    host_mem=512,
    begin=MOMENT + 60,
    dependency="afterok:1",
    command="python \x1b[31m.py",
)
RUNNING = job(
    id=43,
    array=42,
    tasks="7",
    params={"lr": "0.1"},
    state="RUNNING",
    started=MOMENT + 5,
    elapsed=61.0,
    time_limit=600,
    gpu_mem=9000,
    gpu_ids=[1],
    peak=[[1, 7000]],
    attempt=2,
    restarts=1,
    note="its GPUs idle for 3:00",
)
ANOTHERS = job(
    id=9,
    user="bob",
    mine=False,
    name=None,
    command=None,
    cwd=None,
    project=None,
    params=None,
    state="FAILED",
    started=MOMENT,
    ended=MOMENT + 90,
    elapsed=90.0,
    signal=9,
    detail=None,
    requeue=False,
    time_limit=60,
    gpus=0,
)
#: Of the caller's own jobs alone, as the scheduler does.
LOGS: dict[object, Message] = {
    3: {"id": 3, "array": 0, "tasks": "", "user": "alice", "name": "train", "cwd": "/home/alice",
        "restarts": 0, "output": "out/%x-%j.log", "error": "\x1b%j-%r.err"},
    43: {"id": 43, "array": 42, "tasks": "7", "user": "alice", "name": "train",
         "cwd": "/home/alice", "restarts": 1, "output": "/logs/%A_%a-%r.log", "error": ""},
}  # fmt: skip


@pytest.fixture(autouse=True)
def three_jobs(server: FakeServer) -> None:
    rows = listing(WAITING, RUNNING, ANOTHERS)
    told = [[3, 0, "", "alice", "PENDING", ["2 GPUs are too few.", "It is next\x07 in line."]]]

    def answer(request: Message) -> Iterable[Message]:
        assert isinstance(parse_request(request), ListJobs | Why | Logs)
        if request["op"] == "logs":
            return [{"ok": {"rows": [LOGS[it] for it in request["jobs"] if it in LOGS]}}]  # type: ignore[attr-defined]
        if request["jobs"] == [3, 5, "42_7", "42_8"]:
            return rows({"jobs": [3, 43]})
        notify = [[43, ["job_failed"], ["ada@example.org", "https://example.org/hook"]]]
        why: Message = {"ok": {"rows": told, "notify": notify}}
        return [why] if request["op"] == "why" else rows(request)

    server.answer = answer


@pytest.mark.parametrize("number", ["3", "43", "9"])
def test_a_job(number: str, run: Run, golden: Golden, capsys: Capture) -> None:
    assert run(show, number) == 0
    golden.check(f"cli/job_show_{number}.txt", capsys.readouterr().out)


def test_more_is_asked_of_what_waits_and_of_ones_own_alone(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(show, "3,9") == 0
    assert server.requests == [
        {"op": "jobs", "jobs": [3, 9], "scope": "all", "ended": True},
        {"op": "why", "jobs": [3]},
        {"op": "logs", "jobs": [3, 9]},
    ]
    assert capsys.readouterr().out.count("\n\n") == 1


def test_json_has_every_field_of_every_job(run: Run, capsys: Capture) -> None:
    assert run(show, "3,43", "--json") == 0
    waiting, running = json.loads(capsys.readouterr().out)
    assert waiting["command"] == "python \x1b[31m.py"
    assert waiting["why"] == ["2 GPUs are too few.", "It is next\x07 in line."]
    assert (running["peak"], running["attempt"], running["why"]) == ([[1, 7000]], 2, [])
    assert waiting["notify"] is None
    assert waiting["log"] == "/home/alice/out/train-3.log"
    assert waiting["error_log"] == "/home/alice/\x1b3-0.err"
    assert (running["log"], running["error_log"]) == ("/logs/42_7-1.log", None)
    assert running["notify"] == {
        "events": ["job_failed"],
        "targets": ["ada@example.org", "https://example.org/hook"],
    }


def test_tasks_that_wait_together_have_no_log_yet(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    several: Message = {**LOGS[43], "id": 42, "tasks": "3-5"}
    rows = listing(job(id=42, array=42, tasks="3-5"))
    server.answer = lambda asked: (
        [{"ok": {"rows": [several]}}] if asked["op"] == "logs"
        else [{"ok": {"rows": []}}] if asked["op"] == "why"
        else rows(asked)
    )  # fmt: skip
    assert run(show, "42", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["log"] is None


def test_all_is_told_of_more_jobs_than_one_question_takes(
    run: Run, server: FakeServer, capsys: Capture
) -> None:
    tasks = listing(*(job(id=at, array=1, tasks=str(at), mine=True) for at in range(1, 251)))

    def answer(request: Message) -> Iterable[Message]:
        asked = parse_request(request)
        if isinstance(asked, Why):
            told = [[it, 1, str(it), "alice", "PENDING", [f"{it} waits."]] for it in asked.jobs]
            return [{"ok": {"rows": told, "notify": [[it, ["e"], ["t"]] for it in asked.jobs]}}]
        if isinstance(asked, Logs):
            rows = [{**LOGS[43], "id": it, "tasks": str(it)} for it in asked.jobs]
            return [{"ok": {"rows": rows}}]
        return tasks({"jobs": list(range(1, 251))})

    server.answer = answer
    assert run(show, "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["why"] for one in found] == [[f"{at} waits."] for at in range(1, 251)]
    assert all(one["log"] and one["notify"] for one in found)


def test_an_unknown_job_is_an_error(run: Run, capsys: Capture) -> None:
    assert run(show, "5") == 1
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "error: job 5: unknown\n" in seen.err
    assert run(show, "3,5,42_7,42_8") == 1
    said = capsys.readouterr().err
    assert "error: job 5: unknown\n" in said
    assert "error: job 42_8: unknown\n" in said
