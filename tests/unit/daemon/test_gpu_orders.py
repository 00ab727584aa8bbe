"""Requests about GPUs through real frames: who may, what is kept, what everybody sees."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mgpu.model.gpu import Inventory, Process
from mgpu.model.records import Drain, Excused, Restriction
from mgpu.protocol import names
from mgpu.system.log import log
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, Rig

CAROL = 0
ORDERS: list[Map] = [
    {"op": "gpu_drain", "gpus": ["0"], "reason": "new fans"},
    {"op": "gpu_resume", "gpus": ["0"]},
    {"op": "gpu_set", "gpus": ["0-1"]},
    {"op": "gpu_set", "gpus": ["all"]},
    {"op": "gpu_ignore", "pid": 44},
    {"op": "gpu_unignore", "pid": 44},
    {"op": "gpu_simulate", "gpu": "1", "used": 100},
]


def occupy(rig: Rig, *processes: Process) -> None:
    """These use gpu0."""
    inventory = rig.scheduler._engine.world.inventory
    first, *others = inventory.gpus
    seen = (replace(first, processes=processes), *others)
    rig.scheduler._inventory(inventory._replace(gpus=seen))
    rig.settle()


def listed(rig: Rig, uid: int = ALICE) -> Map:
    answer: Map = rig.client(uid).one({"op": "gpu_list"})["ok"]
    return answer


def kept(rig: Rig, kind: type) -> list[Any]:
    return [record for record in rig.store.load().records if isinstance(record, kind)]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order["op"])
@pytest.mark.parametrize("uid", [0, ALICE])
def test_orders_are_taken_on_the_admin_socket_alone(rig: Rig, order: Map, uid: int) -> None:
    assert rig.client(uid).one(order)["error"]["code"] == "Denied"
    assert rig.client(0, admin=True).one(order).get("error", {}).get("code") != "Denied"


def test_every_order_is_a_line_in_the_log(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    occupy(rig, Process(44, 700, 1005, 0, 9))
    log.set_level("info")
    try:
        for order in ORDERS:
            rig.client(CAROL, admin=True).one(order)
        rig.client(ALICE).one(ORDERS[0])
        rig.client(CAROL, admin=True).one({"op": "gpu_ignore", "pid": 45})
    finally:
        log.set_level("error")
    lines = [line for line in capfd.readouterr().err.splitlines() if "INFO request" in line]
    assert [line.split("action=")[1] for line in lines] == [
        f"gpu_drain uid={CAROL} record=gpu0 result=ok",
        f"gpu_resume uid={CAROL} record=gpu0 result=ok",
        f"gpu_set uid={CAROL} record=gpu0,gpu1 result=ok",
        f"gpu_set uid={CAROL} record=all result=ok",
        f"gpu_ignore uid={CAROL} record=44 result=ok",
        f"gpu_unignore uid={CAROL} record=44 result=ok",
        f"gpu_simulate uid={CAROL} record=gpu1 result=ok",
        f"gpu_drain uid={ALICE} jobs=- result=Denied",
        f"gpu_ignore uid={CAROL} jobs=- result=Unknown",
    ]
    assert {order["op"] for order in ORDERS} <= names.CHANGES


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"op": "gpu_drain", "gpus": [], "reason": "x"}, "gpus: names no GPU"),
        ({"op": "gpu_drain", "gpus": ["0"], "reason": " "}, "reason: is empty; say why"),
        ({"op": "gpu_drain", "gpus": ["0"]}, "reason: is missing"),
        ({"op": "gpu_drain", "gpus": ["7"], "reason": "x"}, 'gpus: there is no GPU "gpu7"'),
        ({"op": "gpu_resume", "gpus": ["0"]}, "gpus: gpu0 is not drained"),
        ({"op": "gpu_set", "gpus": ["0", "GPU-x"]}, 'gpus: there is no GPU "GPU-x"'),
        ({"op": "gpu_ignore", "pid": 0}, "pid: 0 is out of range"),
        ({"op": "gpu_ignore", "pid": 9}, "pid: no GPU is used by a process 9"),
        ({"op": "gpu_simulate", "gpu": "9"}, 'gpus: there is no GPU "gpu9"'),
        ({"op": "gpu_simulate", "gpu": "0", "processes": [[7]]}, "processes[0]: expected a pid"),
        ({"op": "gpu_simulate", "gpu": "0", "used": -2}, "used: -2 is out of range"),
    ],
)
def test_orders_that_make_no_sense(rig: Rig, order: Map, message: str) -> None:
    error = rig.client(0, admin=True).one(order)["error"]
    assert f"{error['path']}: {error['message']}".startswith(message)


def test_real_gpus_are_not_told_what_to_do(rig: Rig) -> None:
    inventory = rig.scheduler._engine.world.inventory
    rig.scheduler._inventory(inventory._replace(backend="nvml"))
    rig.settle()
    error = rig.client(0, admin=True).one({"op": "gpu_simulate", "gpu": "0"})["error"]
    assert error["message"] == "the GPUs of this machine are real: they come from nvml"


def test_a_drain_is_kept_and_everybody_sees_by_whom(rig: Rig) -> None:
    order = {"op": "gpu_drain", "gpus": ["gpu1"], "reason": " new fans "}
    assert rig.client(CAROL, admin=True).one(order) == {"ok": {"key": "gpu1"}}
    at = rig.clock.at.wall
    rig.again()
    first, second = listed(rig)["gpus"]
    assert (first["available"], first["drain"]) == (True, None)
    assert (second["available"], second["note"]) == (False, "drained: new fans")
    told = {"reason": "new fans", "by": CAROL, "at": at, "fault": False, "broken": ""}
    assert second["drain"] == told
    rig.client(CAROL, admin=True).one({"op": "gpu_resume", "gpus": [second["uuid"]]})
    assert kept(rig, Drain) == []
    assert all(gpu["available"] for gpu in listed(rig)["gpus"])


def test_a_restriction_goes_before_the_configuration_and_is_kept(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(gpus__devices=[0])
    told = {"source": "configuration", "by": None, "gpus": [0]}
    assert listed(rig)["restriction"] == told
    rig.client(CAROL, admin=True).one({"op": "gpu_set", "gpus": ["1"]})
    rig.again()
    assert listed(rig)["restriction"] == {"source": "set-gpus", "by": CAROL, "gpus": [1]}
    assert [gpu["allowed"] for gpu in listed(rig)["gpus"]] == [False, True]
    assert rig.active()[rig.submit()].gpus == (listed(rig)["gpus"][1]["uuid"],)
    rig.client(CAROL, admin=True).one({"op": "gpu_set", "gpus": ["all"]})
    assert listed(rig)["restriction"] == told
    assert kept(rig, Restriction) == []


def test_gpus_that_are_configured_and_not_there_are_named_in_the_log(
    make_rig: Callable[..., Rig], capfd: pytest.CaptureFixture[str]
) -> None:
    log.set_level("warning")
    try:
        make_rig(gpus__devices=[1, 2, 7])
    finally:
        log.set_level("error")
    told = [line for line in capfd.readouterr().err.splitlines() if "gpus-absent" in line]
    assert [line.split("action=")[1] for line in told] == ["gpus-absent gpus=gpu2,gpu7"]


def test_without_any_there_is_no_restriction(rig: Rig) -> None:
    assert listed(rig)["restriction"] is None


def test_everybody_sees_outsiders_and_no_command_of_theirs(rig: Rig) -> None:
    occupy(rig, Process(44, 700, 1005, 0, 9, 1_600_000_000.5), Process(45, 800, ALICE, 7, 9))
    rig.client(CAROL, admin=True).one({"op": "gpu_ignore", "pid": 44})
    (row,) = rig.client(ALICE).one({"op": "gpu_processes"})["ok"]["processes"]
    uuid = listed(rig)["gpus"][0]["uuid"]
    assert row == {
        "pid": 44, "uid": 1005, "gpu": 0, "uuid": uuid, "memory": 700,
        "since": 1_600_000_000.5, "ignored": True,
    }  # fmt: skip


# -- simulated GPUs --------------------------------------------------------------------------------


def tell(rig: Rig, **facts: object) -> None:
    order = {"op": "gpu_simulate", "gpu": "0"} | facts
    assert rig.client(CAROL, admin=True).one(order) == {"ok": {"key": "gpu0"}}


def test_a_simulated_gpu_fills_up_and_is_as_before(rig: Rig) -> None:
    tell(rig, used=4000, processes=[[os.getpid(), 700]])
    world = rig.scheduler._engine.world
    gpu = next(iter(world.gpus.values()))
    assert (gpu.used, gpu.outside) == (4700, 4700)
    (row,) = rig.client(ALICE).one({"op": "gpu_processes"})["ok"]["processes"]
    assert (row["pid"], row["uid"], row["memory"]) == (os.getpid(), os.getuid(), 700)
    tell(rig, used=-1, processes=[])
    assert next(iter(world.gpus.values())).used == 0


def test_a_fault_that_was_repaired_drains_again_when_it_comes_back(rig: Rig) -> None:
    for _ in range(2):
        tell(rig, fault="Xid 48: double bit ECC error")
        first = listed(rig)["gpus"][0]
        assert (first["available"], first["drain"]["fault"]) == (False, True)
        rig.client(CAROL, admin=True).one({"op": "gpu_resume", "gpus": ["0"]})
        rig.settle()
        first = listed(rig)["gpus"][0]
        assert (first["available"], first["fault"]) == (True, "")
    assert kept(rig, Excused) == []


def test_a_simulated_gpu_hangs_until_it_is_well(rig: Rig) -> None:
    tell(rig, hang=True)
    rig.wait(11)
    rig.wait(2)
    assert [gpu["available"] for gpu in listed(rig)["gpus"]] == [False, True]
    tell(rig, hang=False)
    assert [gpu["available"] for gpu in listed(rig)["gpus"]] == [True, True]


# -- after the end of a job ------------------------------------------------------------------------


def test_a_gpu_is_given_out_again_when_it_was_looked_at_after_the_end(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (rig.submit(gpus=2) for _ in range(2))
    rig.supervisor(first).runs()
    world = rig.scheduler._engine.world
    looked, seen = world.set_inventory, []

    def look(inventory: Inventory) -> bool:
        seen.append((inventory.taken, rig.active()[second].state))
        return looked(inventory)

    monkeypatch.setattr(world, "set_inventory", look)
    rig.clock.forward(5)
    ended = rig.clock.at.boot
    rig.supervisor(first).ends()
    (taken, state), *_ = seen
    assert taken > ended
    assert state == "PENDING"
    assert rig.active()[second].state == "RUNNING"


def test_a_gpu_that_its_job_has_not_left_is_dirty_until_it_has(rig: Rig) -> None:
    first, second = (rig.submit(gpus=2) for _ in range(2))
    rig.supervisor(first).runs()
    tell(rig, used=3000)
    rig.supervisor(first).ends()
    assert listed(rig)["gpus"][0]["state"] == "cleaning"
    rig.wait(31)
    row = listed(rig)["gpus"][0]
    assert row["note"] == f"dirty: 3000 MiB in use after the end of job {first}"
    assert rig.active()[second].state == "PENDING"
    tell(rig, used=0)
    assert rig.active()[second].state == "RUNNING"


def test_the_owner_is_told_of_a_gpu_that_hangs_under_a_job(rig: Rig) -> None:
    job = rig.submit(gpus=2)
    rig.supervisor(job).runs()
    tell(rig, hang=True)
    for _ in range(2):
        rig.wait(12)
    why = "the GPU driver does not answer when asked about it (simulated call)"
    assert rig.active()[job].note == f"gpu0 does not answer: {why}"
    tell(rig, hang=False)
    assert rig.active()[job].note == ""
