"""What the scheduler tells of logs: enough to find the files, and to the owner alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, BOB, Rig

TTY = [24, 80]


def logs(rig: Rig, *jobs: object, uid: int = ALICE, admin: bool = False) -> list[Map]:
    client = rig.client(uid, admin=admin)
    rows: list[Map] = client.one({"op": "logs", "jobs": list(jobs)})["ok"]["rows"]
    client.close()
    return rows


def pick(row: Map, *names: str) -> list[Any]:
    return [row[name] for name in names]


def test_patterns_are_known_while_a_job_waits_runs_and_after_it_ended(rig: Rig) -> None:
    job = rig.submit(name="train", output=b"out/%j.log", error=b"\xff%r")
    for state in ("RUNNING", "COMPLETED"):
        (row,) = logs(rig, job)
        assert pick(row, "id", "state", "name", "cwd", "attempt", "restarts") == [
            *(job, state, "train", "/home/u", 1, 0)
        ]
        assert pick(row, "output", "error") == ["out/%j.log", "\\xff%r"]
        if state == "RUNNING":
            rig.supervisor(job).runs()
            rig.supervisor(job).ends()


def test_a_task_is_found_by_its_name(rig: Rig) -> None:
    array = rig.submit(array="3-5", gpus=1, name="sweep")
    (row,) = logs(rig, f"{array}_4")
    assert pick(row, "array", "tasks", "output") == [array, "4", ""]
    assert len(logs(rig, array)) == 3


def test_terminals_are_asked_for_until_their_jobs_are_over(rig: Rig) -> None:
    plain, shell, waiting = rig.submit(gpus=0), rig.submit(gpus=2, tty=TTY), rig.submit(tty=TTY)
    wish = {"op": "logs", "jobs": [plain, shell, waiting], "terminal": True}
    assert [row["id"] for row in rig.client().one(wish)["ok"]["rows"]] == [shell, waiting]
    assert rig.client(BOB).one(wish)["ok"]["rows"] == []
    rig.supervisor(shell).runs()
    rig.supervisor(shell).ends()
    assert [row["id"] for row in rig.client().one(wish)["ok"]["rows"]] == [waiting]


def test_a_large_submission_is_read_once_for_its_terminal(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = rig.submit(tty=TTY)
    wish = {"op": "logs", "jobs": [job], "terminal": True}
    assert rig.client().one(wish)["ok"]["rows"]
    monkeypatch.setattr(rig.store, "payload", None)
    assert rig.client().one(wish)["ok"]["rows"]


def test_nobody_else_is_told(rig: Rig) -> None:
    job = rig.submit(output=b"/tmp/secret")
    assert logs(rig, job, uid=BOB) == []
    assert logs(rig, job, uid=0, admin=True) == logs(rig, job) != []
