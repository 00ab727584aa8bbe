"""Signals: from the request to the supervisors of the jobs that run."""

from __future__ import annotations

import pytest

from tests.unit.daemon.rig import ALICE, BOB, Rig

USR1 = 10


def told(rig: Rig, *jobs: int | str, uid: int = ALICE, admin: bool = False) -> list[list[object]]:
    client = rig.client(uid, admin=admin)
    answer: list[list[object]] = client.one({"op": "signal", "jobs": list(jobs), "signal": USR1})[
        "ok"
    ]["jobs"]
    client.close()
    return answer


def test_the_supervisor_of_a_job_that_runs_gets_it(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).runs()
    assert told(rig, job) == [[job, "signalled"]]
    client = rig.client()
    client.one({"op": "signal", "jobs": [job], "signal": USR1, "leader": True})
    assert rig.supervisor(job).hears() == [
        {"op": "signal", "number": USR1, "leader": False},
        {"op": "signal", "number": USR1, "leader": True},
    ]


def test_what_does_not_run_is_said(rig: Rig) -> None:
    begins = rig.submit(gpus=2)
    waits = rig.submit()
    assert told(rig, begins, waits, 99) == [
        [begins, "unreached"],
        [waits, "waiting"],
        [99, "unknown"],
    ]
    assert rig.supervisor(begins).hears() == []
    supervisor = rig.supervisor(begins)
    supervisor.runs()
    supervisor.ends(0)
    assert told(rig, begins) == [[begins, "ended"]]


def test_an_array_is_signalled_where_it_runs(rig: Rig) -> None:
    array = rig.submit(array="0-5", gpus=1)
    for job in sorted(rig.active().values(), key=lambda one: one.id):
        if job.attempt:
            rig.supervisor(job.id).runs()
    assert told(rig, array, f"{array}_1", f"{array}_5") == [
        [array, "signalled"],
        [f"{array}_1", "signalled"],
        [f"{array}_5", "waiting"],
    ]


@pytest.mark.parametrize(("uid", "admin", "how"), [(BOB, False, "unknown"), (0, True, "signalled")])
def test_others_signal_as_administrators_alone(rig: Rig, uid: int, admin: bool, how: str) -> None:
    job = rig.submit()
    rig.supervisor(job).runs()
    assert told(rig, job, uid=uid, admin=admin) == [[job, how]]


def test_a_supervisor_that_is_away_is_said(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).runs()
    rig.again()
    assert told(rig, job)[0][1] in ("unreached", "unknown")
