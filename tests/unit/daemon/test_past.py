"""History and submission: what is told of a job, and that it makes the same job again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, BOB, Rig, a_wish

Make = Callable[..., Rig]
FULL: Map = {
    "argv": [b"train", b"\xff"], "script": b"#!/bin/sh\n", "script_name": "t.sh", "name": "n",
    "env": [b"A=1"], "cwd": b"/work", "output": b"o-%j", "error": b"e", "open_mode": "truncate",
    "umask": 0o27, "rlimits": [[7, 10, 20]], "activate": {"mode": "venv", "path": b"/v"},
    "export_slurm": "yes", "gpus": 2, "gpu_mem": 1000, "exclusive": True, "time_limit": 600,
    "requeue": False, "signal": [10, 30], "priority": -3, "gpu_type": "Sim", "gpu_ids": [0, 1],
    "min_gpu_total": 16000, "cpus": 2, "host_mem": 100, "retries": 2, "kill_on_invalid_dep": False,
}  # fmt: skip


def ended(rig: Rig, **fields: Any) -> int:
    job = rig.submit(**fields)
    rig.supervisor(job).runs()
    rig.supervisor(job).ends(1)
    return job


def asked(rig: Rig, op: str, job: int | str, uid: int = ALICE) -> Map:
    client = rig.client(uid)
    answer: Map = client.one({"op": op, "jobs": [job]})
    client.close()
    return answer


@pytest.fixture
def rig(make_rig: Make) -> Rig:
    return make_rig(jobs__keep_for_redo=3600)


def test_all_that_was_submitted_comes_back(rig: Rig) -> None:
    given = FULL | {"retries": 0}  # a failure ends it
    job = ended(rig, **given)
    told = asked(rig, "submission", job)["ok"]
    assert {name: told["spec"][name] for name in given} == given
    client = rig.client()
    again = client.one({"op": "submit", "key": "again", "spec": told["spec"]})["ok"]["first"]
    one, other = rig.job(job), rig.job(again)
    fields = one.spec.__slots__
    same = [name for name in fields if getattr(one.spec, name) == getattr(other.spec, name)]
    assert set(fields) - set(same) == {"spec_id"}
    assert rig.store.payload(job) == rig.store.payload(again)


def test_the_plain_job_comes_back_too(rig: Rig) -> None:
    job = ended(rig)
    told = asked(rig, "submission", job)["ok"]
    assert told["states"] == ["FAILED"]
    assert told["spec"]["argv"] == a_wish()["argv"]
    answer = rig.client().one({"op": "submit", "key": "again", "spec": told["spec"]})
    assert "ok" in answer


def test_nobody_else_is_told_what_was_submitted(rig: Rig) -> None:
    job = ended(rig, env=[b"SECRET=1"])
    for uid, admin in ((BOB, False), (0, False), (0, True)):
        answer = rig.client(uid, admin=admin).one({"op": "submission", "jobs": [job]})
        assert answer["error"]["code"] == "UnknownJob"
    told = rig.client(0, admin=True).one({"op": "history", "jobs": [job]})
    assert "ok" in told
    assert "SECRET" not in str(told)


def test_what_is_not_kept_is_said(rig: Rig) -> None:
    job = ended(rig)
    rig.wait(4000)
    error = asked(rig, "submission", job)["error"]
    assert (error["code"], "jobs.keep_for_redo" in error["hint"]) == ("Refused", True)


def test_the_history_of_a_task_begins_with_its_array(rig: Rig) -> None:
    array = rig.submit(array="0-9", gpus=2)
    for record in (array, array + 1):
        job = next(one for one in rig.active().values() if one.attempt)
        rig.supervisor(job.id).runs()
        rig.supervisor(job.id).ends(0)
        assert record
    told = asked(rig, "history", f"{array}_0")["ok"]["rows"]
    assert (told[0][1], told[-1][1]) == ("Submitted", "Finished")
    assert "tasks 0-9" in told[0][4]
    assert asked(rig, "history", 99)["error"]["code"] == "UnknownJob"


def test_tasks_are_told_as_they_are_named(rig: Rig) -> None:
    array = rig.submit(array="0-9%3", gpus=2, hold=True)
    for name, tasks in ((array, "0-9"), (f"{array}_[2,4]", "2,4")):
        spec = asked(rig, "submission", name)["ok"]["spec"]
        assert (spec["array"], spec["max_concurrent"]) == (tasks, 3)


def test_a_process_that_was_never_told_of_has_no_number_in_the_history(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).ends(0)
    rows = asked(rig, "history", job)["ok"]["rows"]
    assert [row[4] for row in rows if row[1] == "Launched"] == [""]
