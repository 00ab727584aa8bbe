"""Every operation on somebody else's jobs: it changes nothing and tells nothing that is private."""

from __future__ import annotations

from typing import Any

import pytest

from mgpu.core.access import ADMIN, RESERVER, TABLE
from mgpu.protocol import names
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, BOB, Rig, a_submit

SECRET = "hush"
WORD = SECRET.encode()
#: What a stranger asks about the jobs 1 (running), 2 (waits), 3 (an array) and what recurs.
JOBS = [1, 2, 3, "3_1", "3_[0-2]"]
ABOUT: dict[str, Map] = {
    "ping": {},
    "info": {},
    "jobs": {"scope": "all", "ended": True},
    "cancel": {"jobs": JOBS},
    "wait": {"jobs": [2]},
    "priority": {"jobs": JOBS, "priority": -7},
    "update": {"job": 3, "max_concurrent": 1},
    "depend": {"jobs": JOBS, "dependency": ""},
    "hold": {"jobs": JOBS},
    "release": {"jobs": JOBS, "begin": 1_800_000_000},
    "crons": {},
    "cron_change": {"numbers": [1], "how": "remove"},
    "ranks": {},
    "starts": {"jobs": JOBS},
    "why": {"jobs": JOBS},
    "logs": {"jobs": JOBS},
    "news": {"seen": 0},
    "newest": {},
    "stats": {"tables": ["total", "project", "top", "runs"]},
    "signal": {"jobs": JOBS, "signal": 10},
    "alter": {"jobs": JOBS, "time_limit": 5},
    "history": {"jobs": [3]},
    "submission": {"jobs": [3]},
    "attach": {"job": 3},
    "reservations": {},
    "quota_list": {},
    "gpu_list": {},
    "gpu_processes": {},
    "status": {},
    "requeue": {"jobs": JOBS},
    "submit": {"key": "b", "spec": a_submit(dependency="afterok:2", gpus=2)["spec"]},
}
ORDERS = [op for op in names.OPERATIONS if TABLE[op] <= {ADMIN, RESERVER}]
OPEN = [op for op in names.OPERATIONS if op not in ORDERS]


def secret_spec(**fields: Any) -> Map:
    """A submission with the secret wherever text may be."""
    private = {
        "name": SECRET,
        "cwd": b"/home/" + WORD,
        "argv": [WORD, b"{p}" + WORD],
        "env": [b"A=" + WORD],
        "output": b"/home/" + WORD,
        "script_name": SECRET,
    }
    return a_submit(**{"gpus": 2, "time_limit": 600, **private, **fields})


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """Alice has a job that runs, one that waits, an array over a sweep, and one that recurs."""
    alice = rig.client(ALICE)
    sweep = [[["p"], [[SECRET], ["b"], ["c"]]]]
    for request in (
        secret_spec(key="1"),
        secret_spec(key="2"),
        secret_spec(key="3", sweep=sweep, name_template="{p}", hold=True),
        secret_spec(key="4", cron="* * * * *"),
    ):
        assert "ok" in alice.one(request)
    rig.supervisor(1).runs()
    alice.close()
    return rig


def belongings(rig: Rig) -> list[str]:
    """All that is alice's."""
    world = rig.scheduler._engine.world
    mine = [
        one for one in (*world.jobs.values(), *world.records.everything()) if uid_of(one) == ALICE
    ]
    return [repr(one) for one in mine]


def uid_of(one: object) -> int:
    uid: int = getattr(one, "uid", -1)
    return uid


@pytest.mark.parametrize("op", OPEN)
@pytest.mark.parametrize("uid", [BOB, 0], ids=["a user", "root on the users' socket"])
def test_a_stranger_changes_nothing_and_learns_nothing_private(rig: Rig, op: str, uid: int) -> None:
    before = belongings(rig)
    answers = rig.client(uid).ask({"op": op, **ABOUT[op]})
    assert answers
    assert SECRET not in str(answers)
    assert belongings(rig) == before


def test_the_owner_and_administrators_see_what_is_private(rig: Rig) -> None:
    for client in (rig.client(ALICE), rig.client(0, admin=True)):
        for op in ("jobs", "crons"):
            assert SECRET in str(client.ask({"op": op, **ABOUT[op]}))


@pytest.mark.parametrize(
    "op",
    [
        *("cancel", "wait", "priority", "depend", "hold", "release", "signal", "history"),
        *("submission", "requeue"),
    ],
)
def test_jobs_of_others_are_answered_as_those_that_do_not_exist(rig: Rig, op: str) -> None:
    client = rig.client(BOB)
    theirs = client.one({"op": op, **ABOUT[op], "jobs": [2]})
    nobodys = client.one({"op": op, **ABOUT[op], "jobs": [777]})
    assert str(theirs) == str(nobodys).replace("777", "2")


@pytest.mark.parametrize("op", ORDERS)
@pytest.mark.parametrize("uid", [ALICE, 0])
def test_orders_are_for_the_admin_socket(rig: Rig, op: str, uid: int) -> None:
    needs: dict[str, Map] = {
        "reserve": {"key": "k", "duration": 60, "count": 1},
        "unreserve": {"id": 1},
    }
    quota = {"subject": "user:u1002", "running_gpus": 1}
    needs |= {"quota_set": quota, "quota_remove": {"subject": "user:u1002"}}
    needs |= {"gpu_ignore": {"pid": 1}, "gpu_unignore": {"pid": 1}}
    needs |= {"gpu_resume": {"gpus": ["0"]}, "gpu_set": {"gpus": ["0"]}}
    needs |= {"gpu_drain": {"gpus": ["0"], "reason": "x"}, "gpu_simulate": {"gpu": "0", "used": 1}}
    needs |= {"log_level": {"level": "debug"}, "machine_drain": {"reason": "x"}}
    needs |= {"shutdown": {"how": "now"}}
    fields = needs.get(op, {})
    assert rig.client(uid).one({"op": op, **fields})["error"]["code"] == "Denied"


def test_every_operation_is_tried() -> None:
    assert set(ABOUT) == set(OPEN)
