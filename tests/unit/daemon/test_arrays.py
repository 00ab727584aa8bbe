"""Arrays and sweeps through real frames: one submission, many tasks, any part of them."""

from __future__ import annotations

from typing import Any

import pytest

from mgpu.protocol.names import JOB_FIELDS
from tests.unit.daemon.rig import ALICE, BOB, Rig, a_submit

GRID = [[["lr"], [["0.1"], ["0.01"]]], [["bs"], [["32"], ["64"]]]]
SHOWN = ("id", "array", "tasks", "state", "max_concurrent")


def rows(rig: Rig, *names: object, uid: int = ALICE, **filters: Any) -> list[dict[str, Any]]:
    request = {"op": "jobs", "jobs": list(names), "scope": "all", **filters}
    parts = rig.client(uid).ask(request)[:-1]
    return [
        dict(zip(JOB_FIELDS, row, strict=True)) for part in parts for row in part["part"]["rows"]
    ]


def shown(rig: Rig, *names: object, **filters: Any) -> list[tuple[object, ...]]:
    return [tuple(row[field] for field in SHOWN) for row in rows(rig, *names, **filters)]


def ends(rig: Rig, job: int, code: int = 0) -> None:
    rig.supervisor(job).runs()
    rig.supervisor(job).ends(code)


def test_an_array_is_one_record_and_its_tasks_get_their_own(rig: Rig) -> None:
    assert rig.submit(array="0-99999%2") == 1
    assert shown(rig) == [
        (1, 1, "2-99999", "PENDING", 2),
        (2, 1, "0", "RUNNING", 0),
        (3, 1, "1", "RUNNING", 0),
    ]
    assert rig.supervisor(2).order["array"] == [1, 0, 100_000, 0, 99_999]
    ends(rig, 2)
    assert [row["tasks"] for row in rows(rig)] == ["3-99999", "1", "2"]
    assert rig.job(2).state == "COMPLETED"


def test_the_last_task_runs_in_the_array_s_own_record(rig: Rig) -> None:
    rig.submit(array="3,7", gpus=2)
    ends(rig, 2)
    assert rig.supervisor(1).order["array"] == [1, 7, 2, 3, 7]
    ends(rig, 1, 5)
    assert shown(rig, 1) == [(1, 1, "7", "FAILED", 0), (2, 1, "3", "COMPLETED", 0)]
    assert shown(rig, "1_7") == [(1, 1, "7", "FAILED", 0)]
    assert shown(rig, "1_[0-5]", 2) == [(2, 1, "3", "COMPLETED", 0)]


def test_a_sweep_shows_each_task_its_values(rig: Rig) -> None:
    argv = [b"python", b"t.py", b"--lr={lr}", b"{{bs}}"]
    rig.submit(argv=argv, sweep=GRID, name_template="t-{lr}-{bs}", max_concurrent=1)
    waiting, running = rows(rig)
    assert (waiting["name"], waiting["params"]) == ("t-{lr}-{bs}", {})
    assert waiting["command"] == "python t.py '--lr={lr}' '{{bs}}'"
    assert (running["name"], running["params"]) == ("t-0.1-32", {"lr": "0.1", "bs": "32"})
    assert running["command"] == "python t.py '--lr=0.1' '{bs}'"
    assert (waiting["reason"], waiting["tasks"]) == ("JobArrayTaskLimit", "1-3")
    theirs = rows(rig, uid=BOB)[1]
    assert (theirs["name"], theirs["params"], theirs["command"]) == (None, None, None)
    assert (theirs["array"], theirs["tasks"]) == (1, "0")


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"array": "x"}, "spec.array", '"x": "x" is none of 3, 3-7 and 3-7:2'),
        ({"array": "0-4", "sweep": GRID}, "spec.array", "4: the parameters give tasks 0 to 3"),
        ({"array": "0-4%2", "max_concurrent": 3}, "spec.max_concurrent",
         "3 and %2 say the same thing: give one of them"),
        ({"max_concurrent": 3}, "spec.max_concurrent", "only an array or a sweep has tasks"),
        ({"sweep": GRID, "name_template": "t-{nope}-{{lr2}}"}, "spec.name_template",
         "{nope} is no parameter"),
        ({"name_template": "{x}"}, "spec.name_template",
         "there are no parameters to put in; give some with --param"),
        ({"sweep": [*GRID, GRID[0]]}, "spec.sweep", "the parameter lr is given twice"),
        ({"array": "0-4", "count": 2}, "count", "expected 1 for an array, got 2"),
    ],
)  # fmt: skip
def test_what_is_no_array(rig: Rig, fields: dict[str, Any], path: str, message: str) -> None:
    error = rig.client().one(a_submit(**fields))["error"]
    assert (error["path"], error["message"]) == (path, message)


def test_chosen_combinations_of_a_sweep(rig: Rig) -> None:
    rig.submit(sweep=GRID, array="1,3%1", max_concurrent=1)
    ends(rig, 2)
    assert rig.supervisor(1).order["array"] == [1, 3, 2, 1, 3]


def test_any_part_of_an_array_can_be_cancelled(rig: Rig) -> None:
    rig.submit(array="0-9%1")
    client = rig.client()
    wanted = ["1_3", "1_[5-6,0]", "1_3", "1_77"]
    assert client.one({"op": "cancel", "jobs": wanted})["ok"]["jobs"] == [
        ["1_3", "cancelled"],
        ["1_[0,5-6]", "cancelling"],
        ["1_77", "unknown"],
    ]
    assert [(row["tasks"], row["state"]) for row in rows(rig)] == [
        ("1-2,4,7-9", "PENDING"), ("0", "COMPLETING"),
    ]  # fmt: skip
    assert shown(rig, "1_5") == [(3, 1, "3,5-6", "CANCELLED", 0)]
    assert client.one({"op": "cancel", "jobs": ["1_6"]})["ok"]["jobs"] == [["1_6", "ended"]]
    assert client.one({"op": "cancel", "jobs": [1]})["ok"]["jobs"] == [[1, "cancelling"]]
    rig.supervisor(2).ends(None, signal=15, cause="cancel")
    assert client.one({"op": "cancel", "jobs": [1]})["ok"]["jobs"] == [[1, "ended"]]
    assert rig.active() == {}


def test_a_waiting_array_is_cancelled_as_one_record(rig: Rig) -> None:
    rig.submit(gpus=2)
    rig.submit(array="0-99999")
    assert rig.client().one({"op": "cancel", "jobs": [2]})["ok"]["jobs"] == [[2, "cancelled"]]
    assert shown(rig, 2) == [(2, 2, "0-99999", "CANCELLED", 0)]


def test_others_cannot_tell_the_tasks_of_an_array_from_none(rig: Rig) -> None:
    rig.submit(array="0-9%1")
    for op in ("cancel", "priority", "hold", "release"):
        request: dict[str, Any] = {"op": op, "jobs": ["1_0", "1_3", 1, "9_3"]}
        request |= {"priority": 0} if op == "priority" else {}
        told = rig.client(BOB).one(request)["ok"]["jobs"]
        assert {how for _, how in told} == {"unknown"}
    for name in ("1_0", "9_0"):
        error = rig.client(BOB).one({"op": "wait", "jobs": [name]})["error"]
        assert error["message"] == f"job {name}: unknown, or not yours"
    assert rig.client(BOB).one({"op": "update", "job": 1, "max_concurrent": 0})["ok"]["jobs"] == [
        [1, "unknown"]
    ]


def test_the_bound_can_be_changed(rig: Rig) -> None:
    rig.submit(array="0-9%1")
    client = rig.client()
    assert client.one({"op": "update", "job": 1, "max_concurrent": 2}) == {
        "ok": {"jobs": [[1, "changed"]]}
    }
    assert [row["state"] for row in rows(rig)] == ["PENDING", "RUNNING", "RUNNING"]
    error = client.one({"op": "update", "job": 2, "max_concurrent": 2})["error"]
    assert (error["message"], error["hint"]) == ("job 2 is no array", "name the array, 1")
    rig.again()
    assert rows(rig, 1)[0]["max_concurrent"] == 2


def test_waiting_for_an_array_tells_the_end_of_each_task(rig: Rig) -> None:
    rig.submit(array="0-3", gpus=2)
    client, one = rig.client(), rig.client()
    assert client.ask({"op": "wait", "jobs": [1]}) == []
    assert one.ask({"op": "wait", "jobs": ["1_[1-2]", 2]}) == []
    ends(rig, 2)
    assert client.take() == [{"part": {"job": ["1_0", "COMPLETED", 0, None, ""]}}]
    assert one.take() == [{"part": {"job": [2, "COMPLETED", 0, None, ""]}}]
    ends(rig, 3, 4)
    rig.client().one({"op": "cancel", "jobs": ["1_[2-3]"]})
    rig.supervisor(4).ends(None, signal=15, cause="cancel")
    rest = [
        {"part": {"job": ["1_1", "FAILED", 4, None, ""]}},
        {"part": {"job": ["1_3", "CANCELLED", None, None, ""]}},
        {"part": {"job": ["1_2", "CANCELLED", None, 15, ""]}},
        {"ok": {}},
    ]
    assert client.take() == rest
    assert one.take() == [rest[0], rest[2], rest[3]]
    again = client.ask({"op": "wait", "jobs": [1]})
    assert sorted(part["part"]["job"][0] for part in again[:-1]) == ["1_0", "1_1", "1_2", "1_3"]
    waiters = rig.scheduler._dispatcher.waiters
    assert (waiters._by_job, waiters._by_array, waiters._left) == ({}, {}, {})


def test_who_waits_for_an_array_and_leaves_is_forgotten(rig: Rig) -> None:
    rig.submit(array="0-3")
    client = rig.client()
    client.ask({"op": "wait", "jobs": [1, "1_2"]})
    client.close()
    rig.settle()
    waiters = rig.scheduler._dispatcher.waiters
    assert (waiters._by_array, waiters._left) == ({}, {})


def test_the_environment_is_kept_until_the_last_task_has_ended(rig: Rig) -> None:
    rig.submit(array="0-2", gpus=2)
    ends(rig, 2)
    ends(rig, 3)
    assert rig.store.payload(1)
    ends(rig, 1)
    with pytest.raises(Exception, match="missing"):
        rig.store.payload(1)


def test_a_task_that_is_put_back_keeps_its_number(rig: Rig) -> None:
    rig.submit(array="0-1", gpus=2, time_limit=5)
    rig.supervisor(2).runs()
    rig.supervisor(2).ends(None, signal=15, cause="timelimit")
    ends(rig, 1)
    order = rig.supervisor(2, 2).order
    assert (order["array"][1], order["restarts"]) == (0, 1)


def test_questions_about_the_queue_name_tasks_too(rig: Rig) -> None:
    rig.submit(array="0-9%1")
    client = rig.client()
    rows_of = {
        name: client.one({"op": "why", "jobs": [name]})["ok"]["rows"]
        for name in ("1_5", "1_0", 1, "1_99")
    }
    assert [[row[:3] for row in found] for found in rows_of.values()] == [
        [[1, 1, "1-9"]], [[2, 1, "0"]], [[2, 1, "0"], [1, 1, "1-9"]], [],
    ]  # fmt: skip
    assert client.one({"op": "starts", "jobs": ["1_0", "1_99"]})["ok"]["rows"] == []
