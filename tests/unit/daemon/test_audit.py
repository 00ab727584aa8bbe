"""The audit trail through real frames: who asked for what, allowed or denied, and who may read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from mgpu.daemon import handle_control
from mgpu.daemon.audit import MOST_REFUSALS
from mgpu.protocol import names
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, BOB, Client, Rig, a_submit

Entry = tuple[int, str, str, str]


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(limits__request_burst=100_000)


@pytest.fixture
def admin(rig: Rig) -> Client:
    return rig.client(0, admin=True)


def trail(rig: Rig, **fields: Any) -> list[Entry]:
    """The entries, oldest first."""
    rows = rig.client(0, admin=True).one({"op": "audit", **fields})["ok"]["rows"]
    return [(row["uid"], row["op"], row["about"], row["result"]) for row in reversed(rows)]


def test_changes_are_kept_with_the_real_uid_and_what_came_of_them(rig: Rig, admin: Client) -> None:
    alice, bob = rig.client(ALICE), rig.client(BOB)
    alice.ask(a_submit("a", 2, gpus=2), {"op": "hold", "jobs": [2]}, a_submit("b", gpus=99))
    bob.ask({"op": "cancel", "jobs": [1, 2]}, {"op": "gpu_set", "gpus": ["0"]})
    admin.ask({"op": "gpu_set", "gpus": ["0"]}, {"op": "priority", "jobs": [2, 9], "priority": 5})
    assert trail(rig) == [
        (ALICE, "submit", "1-2", "ok"),
        (ALICE, "hold", "2", "changed"),
        (ALICE, "submit", "", "Refused"),
        (BOB, "cancel", "1,2", "unknown"),
        (BOB, "gpu_set", "", "Denied"),
        (0, "gpu_set", "gpu0", "ok"),
        (0, "priority", "2,9", "changed(2),unknown(9)"),
    ]


def test_it_is_stored_with_the_change(rig: Rig) -> None:
    rig.client(ALICE).ask(a_submit("a", gpus=2), {"op": "cancel", "jobs": [1]})
    before = trail(rig)
    rig.again()
    assert trail(rig) == before
    assert before[-1] == (ALICE, "cancel", "1", "cancelling")


CHOSEN: list[tuple[Map, list[str]]] = [
    ({"users": [BOB]}, ["cancel"]),
    ({"ops": ["submit", "cancel"]}, ["submit", "cancel"]),
    ({"job": 2}, ["submit", "hold"]),
    ({"job": 1}, ["submit", "cancel"]),
    ({"refused": True}, ["cancel"]),
    ({"since": 1_700_000_050}, ["cancel"]),
    ({"until": 1_700_000_050}, ["submit", "hold"]),
]


@pytest.mark.parametrize(("filters", "ops"), CHOSEN)
def test_some_of_it_can_be_chosen(rig: Rig, filters: Map, ops: list[str]) -> None:
    rig.client(ALICE).ask(a_submit("a", 2, gpus=2), {"op": "hold", "jobs": [2]})
    rig.wait(100)
    rig.client(BOB).ask({"op": "cancel", "jobs": [1]})
    assert [op for _, op, _, _ in trail(rig, **filters)] == ops


def test_what_was_done_in_full_was_not_refused(rig: Rig, admin: Client) -> None:
    rig.client(ALICE).ask(a_submit("a", 3, gpus=1), {"op": "cancel", "jobs": [1, 2]})
    admin.ask({"op": "hold", "jobs": [3]}, {"op": "cancel", "jobs": [3, 99]})
    assert trail(rig, refused=True) == [(0, "cancel", "3,99", "cancelled(3),unknown(99)")]


def test_every_job_that_something_was_done_to_is_named(rig: Rig, admin: Client) -> None:
    alice = rig.client(ALICE)
    alice.ask(a_submit("a", 60, gpus=2), a_submit("b", array="0-99", gpus=2))
    jobs = [*range(2, 60, 2), *range(31, 60, 2), "61_[3-9]", "61_[20-30]", *range(500, 530)]
    admin.ask({"op": "hold", "jobs": jobs})
    ((_, _, about, result),) = trail(rig, ops=["hold"])
    done = ",".join(map(str, range(2, 30, 2))) + ",30-59,61_[3-9,20-30]"
    unknown = ",".join(map(str, range(500, 520))) + ",..."
    assert about == f"{done},{unknown}"
    assert result == f"changed({done}),unknown({unknown})"
    assert [op for _, op, _, _ in trail(rig, job=45)] == ["submit", "hold"]


def test_an_answer_that_would_be_too_long_names_fewer_jobs(
    rig: Rig, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.client(ALICE).ask(a_submit("a", 200, gpus=2))
    admin.ask({"op": "hold", "jobs": [*range(3, 200, 2)]})
    monkeypatch.setattr(names, "MAX_REPLY", 300)
    ((_, _, about, result),) = trail(rig, ops=["hold"])
    assert about.endswith("...")
    assert (len(about), result) == (67, "changed")


def test_a_reload_of_a_bad_file_was_refused(rig: Rig, admin: Client) -> None:
    admin.send({"op": "reload"})
    rig.settle()
    rig.launcher.says({"op": "reloaded", "problems": ["c.toml:3: wrong"]})
    assert trail(rig, refused=True) == [(0, "reload", "", "Refused")]


def test_a_reload_by_signal_is_roots(rig: Rig, admin: Client) -> None:
    message = {"op": "reloaded", "changed": ["jobs.report"], "waiting": []}
    rig.launcher.says(message, msgpack.packb(rig.settings))
    rig.launcher.says({"op": "reloaded", "problems": ["c.toml:3: wrong"]})
    assert trail(rig) == [(0, "reload", "jobs.report", "ok"), (0, "reload", "", "Refused")]


def test_it_is_read_in_pieces(rig: Rig, admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle_control, "SPAN", 3)
    for number in range(5):
        admin.one({"op": "quota_set", "subject": f"user:u{number}", "running_gpus": 1})
    found, before = [], 0
    while True:
        body = admin.one({"op": "audit", "before": before})["ok"]
        assert len(body["rows"]) <= 3
        found += [row["about"] for row in body["rows"]]
        before = body["next"]
        if not before:
            break
    assert found == [f"user:u{number}" for number in (4, 3, 2, 1, 0)]


def test_what_is_refused_again_and_again_does_not_fill_the_disk(rig: Rig) -> None:
    bob = rig.client(BOB)
    for _ in range(MOST_REFUSALS):
        bob.ask({"op": "gpu_set", "gpus": ["0"]}, {"op": "cancel", "jobs": [7]})
    assert len(trail(rig, users=[BOB])) == MOST_REFUSALS
    rig.wait(3601)
    rig.client(BOB).ask({"op": "cancel", "jobs": [7]})
    assert len(trail(rig, users=[BOB])) == MOST_REFUSALS + 1


def test_only_administrators_may_read_it(rig: Rig) -> None:
    assert rig.client(0).one({"op": "audit"})["error"]["code"] == "Denied"


#: A request for each operation that changes something, which the rig refuses or takes.
CHANGES: dict[str, Map] = {
    "submit": {"key": "x", "spec": a_submit(gpus=99)["spec"]},
    "cancel": {"jobs": [9]},
    "priority": {"jobs": [9], "priority": 1},
    "update": {"job": 9, "max_concurrent": 1},
    "depend": {"jobs": [9], "dependency": ""},
    "hold": {"jobs": [9]},
    "release": {"jobs": [9]},
    "requeue": {"jobs": [9]},
    "alter": {"jobs": [9], "time_limit": 60},
    "signal": {"jobs": [9], "signal": 10},
    "attach": {"job": 9},
    "cron_change": {"numbers": [9], "how": "pause"},
    "reserve": {"key": "k", "count": 1, "duration": 60},
    "unreserve": {"id": 9},
    "quota_set": {"subject": "user:a", "running_gpus": 1},
    "quota_remove": {"subject": "user:b"},
    "gpu_drain": {"gpus": ["0"], "reason": "x"},
    "gpu_resume": {"gpus": ["1"]},
    "gpu_set": {"gpus": ["0"]},
    "gpu_ignore": {"pid": 9},
    "gpu_unignore": {"pid": 9},
    "gpu_simulate": {"gpu": "0", "used": 5},
    "log_level": {"level": "error"},
    "machine_drain": {"reason": "x"},
    "machine_resume": {},
    "shutdown": {"how": "now"},
    "reload": {},
    "backup": {},
}


def test_every_change_is_tried() -> None:
    assert set(CHANGES) == names.CHANGES


@pytest.mark.parametrize("op", CHANGES)
def test_every_change_is_kept(rig: Rig, admin: Client, op: str) -> None:
    admin.send({"op": op, **CHANGES[op]})
    rig.settle()
    if op == "reload":
        rig.launcher.says({"op": "reloaded", "problems": ["x"]})
    ((uid, kept, _, _),) = trail(rig)
    assert (uid, kept) == (0, op)


def test_a_short_name_whose_tasks_make_a_long_list_is_kept(rig: Rig) -> None:
    alice, submission = rig.client(ALICE), a_submit("a", gpus=2)
    submission["spec"]["array"] = "0-9"
    alice.ask(submission, {"op": "hold", "jobs": ["1_[0-9999:2,0-9999:3]"]})
    assert trail(rig)[-1][2].startswith("1_[0,2-4,6,8-10")


def test_the_entries_of_a_job_are_not_those_of_a_task_of_its_number(rig: Rig) -> None:
    alice, submission = rig.client(ALICE), a_submit("a", gpus=2)
    submission["spec"]["array"] = "0-20"
    alice.ask(submission, {"op": "hold", "jobs": ["1_[2,9,12-14]"]})
    assert trail(rig, job=9) == []
    assert trail(rig, job=1)[-1] == (ALICE, "hold", "1_[2,9,12-14]", "changed")
