"""What rows and the table of GPUs tell of the use of GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mgpu.core.policy import Policy, QosClass
from mgpu.daemon import machine, views
from mgpu.model.events import Recorded
from mgpu.model.gpu import Gpu, Inventory, Process, Reading
from mgpu.model.records import Drain, Ignored, Reservation
from mgpu.protocol.names import JOB_FIELDS
from mgpu.testing.builders import Desk, a_gpu, a_spec

STRANGER = views.Viewer(4, may_any=False, open_queue=False)


def a_desk(policy: Policy | None = None) -> Desk:
    """Job 1 shares gpu0 and gpu1, asked for 8000 MiB of each, and runs."""
    desk = Desk(20000, 20000, policy=policy)
    desk.submit(a_spec(2, 8000))
    desk.run()
    desk.launched(1)
    return desk


def see(desk: Desk, *gpus: Gpu, after: float = 60.0) -> None:
    desk.wait(after)
    desk.world.set_inventory(Inventory("nvml", gpus, taken=desk.now.boot))
    desk.run()


def row(desk: Desk, number: int = 1) -> dict[str, Any]:
    """A job's row as somebody else gets it."""
    values = views.row(desk.world, desk.job(number), STRANGER, desk.now)
    return dict(zip(JOB_FIELDS, values, strict=True))


def test_a_row_tells_the_peak_of_each_gpu_by_its_index() -> None:
    desk = a_desk()
    assert row(desk)["peak"] == []
    one, two = a_gpu(0, 20000), a_gpu(1, 20000)
    see(desk, replace(one, index=1, measured=((1, 9000),)), replace(two, index=0))
    assert row(desk)["peak"] == [[1, 9000]]
    see(desk, replace(one, index=1), replace(two, index=0, measured=((1, 30),)))
    assert row(desk)["peak"] == [[0, 30], [1, 9000]]


def test_a_row_tells_others_too_that_a_job_does_nothing() -> None:
    desk = a_desk(Policy(idle_after=100.0))
    idle = [replace(a_gpu(index, 20000), reading=Reading(0)) for index in (0, 1)]
    for _ in range(4):
        see(desk, *idle)
    assert row(desk)["note"] == "its GPUs idle for 3:00"


def test_a_row_tells_what_a_job_asked_for_and_others_nothing_of_its_project() -> None:
    desk = Desk(8000, 8000, policy=Policy(classes={name: QosClass(name) for name in ("", "debug")}))
    wish = replace(a_spec(2), project="thesis", qos="debug", cpus=4, host_mem=512, gpu_type="Test")
    desk.submit(wish)
    desk.run()
    seen = row(desk)
    assert [seen[name] for name in ("qos", "cpus", "host_mem", "gpu_type")] == [
        "debug",
        4,
        512,
        "Test",
    ]
    assert (seen["project"], seen["begin"]) == (None, None)
    mine = views.row(desk.world, desk.job(1), STRANGER._replace(may_any=True), desk.now)
    assert mine[JOB_FIELDS.index("project")] == "thesis"


# -- the machine -----------------------------------------------------------------------------------


def shown(desk: Desk, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = info(desk)["gpus"][index]
    return found


def info(desk: Desk) -> dict[str, Any]:
    return machine.info(desk.world, "0", desk.now)


def test_free_is_what_another_job_can_have() -> None:
    desk = a_desk(Policy(margin=1000))
    assert (shown(desk)["reserved"], shown(desk)["free"]) == (8000, 11000)
    see(desk, replace(a_gpu(0, 20000, outside=500), measured=((1, 12000),), used=12500))
    gpu = shown(desk)
    assert (gpu["reserved"], gpu["used"], gpu["outside"], gpu["free"]) == (8000, 12500, 500, 6500)
    assert desk.world.rooms()[0].free == 6500
    assert gpu["jobs"] == [[1, "u1000", 8000, 60.0, "RUNNING", 12000, 0, ""]]


def test_of_a_gpu_that_one_job_has_for_itself_nothing_is_free() -> None:
    desk = Desk(20000)
    desk.submit(a_spec())
    desk.run()
    assert (shown(desk)["reserved"], shown(desk)["free"]) == (0, 0)
    assert shown(desk)["jobs"] == [[1, "u1000", None, 0.0, "RUNNING", None, 0, ""]]


def test_readings_and_the_driver_are_told_with_their_age() -> None:
    desk = Desk()
    gpu = replace(a_gpu(0), reading=Reading(97, 61, 250, 400), bus="0000:3b:00.0", card="GPU-x")
    desk.world.set_inventory(Inventory("nvml", (gpu,), driver="570.1", taken=desk.now.boot))
    desk.wait(7)
    told = info(desk)
    assert (told["driver"], told["age"]) == ("570.1", 7.0)
    known = ("utilization", "temperature", "power", "power_limit", "bus", "card")
    assert [told["gpus"][0][key] for key in known] == [97, 61, 250, 400, "0000:3b:00.0", "GPU-x"]


def test_processes_that_are_not_of_its_jobs_are_told() -> None:
    desk = a_desk()
    desk.submit(a_spec(0))
    desk.run()
    desk.apply(Recorded(desk.now, 0, Ignored(5, 77, 0)))
    processes = (
        Process(5, 300, 0, 0, 77, 1.6e9),
        Process(6, -1, -1, 0),
        Process(7, 8000, 1000, 1),
        Process(8, 40, 1000, 99),
        Process(9, 20, 1000, 2),
    )
    see(desk, replace(a_gpu(0), processes=processes), a_gpu(1))
    told = shown(desk)["outsiders"]
    assert [tuple(one.values()) for one in told] == [
        (5, 0, 300, 1.6e9, 0, True, True),
        (6, None, None, None, 0, False, True),
        (8, 1000, 40, None, 99, False, True),
        (9, 1000, 20, None, 2, False, False),
    ]


def test_the_state_of_a_gpu_is_one_word() -> None:
    policy = Policy(cleaning=True, devices=frozenset(range(7)))
    desk = Desk(*[20000] * 8, policy=policy)
    desk.apply(
        Recorded(desk.now, 0, Drain("GPU-1", "fan", 0, 0.0)),
        Recorded(desk.now, 0, Drain("GPU-2", "Xid 79", 0, 0.0, fault=True)),
    )
    left = (Process(9, 40, 1000, 99),)
    one = replace(a_gpu(5), processes=left)
    see(desk, one, replace(a_gpu(6), processes=left))
    see(
        desk,
        *map(a_gpu, (0, 1, 2)),
        replace(a_gpu(3), available=False, note="no answer"),
        replace(a_gpu(4), available=False, note="Xid 79", fault="Xid 79"),
        one,
        replace(a_gpu(6), processes=(Process(10, 40, 1000, 98),)),
        a_gpu(7),
        after=100.0,
    )
    assert [gpu["state"] for gpu in info(desk)["gpus"]] == [
        *("available", "drained", "fault", "unknown", "fault", "dirty", "cleaning", "restricted"),
    ]
    assert [bool(gpu["free"]) for gpu in info(desk)["gpus"]] == [True, *[False] * 7]


def test_the_first_in_line_is_told_with_what_it_gets_and_when() -> None:
    desk = Desk(20000, 20000)
    desk.submit(a_spec(2, limit=600))
    desk.run()
    assert info(desk)["next"] is None
    desk.launched(1)
    desk.submit(a_spec(1), uid=7)
    desk.wait(100)
    desk.run()
    assert info(desk)["next"] == {
        "id": 2,
        "array": 0,
        "tasks": "",
        "user": "u7",
        "gpus": [0],
        "in": 500.0,
        "after": "1",
    }


def test_nobody_knows_when_a_job_without_a_limit_ends() -> None:
    desk = Desk(20000)
    desk.submit(a_spec())
    desk.submit(a_spec())
    desk.run()
    assert (info(desk)["next"]["in"], info(desk)["next"]["after"]) == (None, "1")


def test_reservations_of_a_gpu_are_told() -> None:
    desk = Desk(20000, 20000)
    start = desk.now.wall + 3600
    desk.apply(Recorded(desk.now, 0, Reservation(3, "", 0, start, 600, gpus=("GPU-1",))))
    assert shown(desk)["reservations"] == []
    assert shown(desk, 1)["reservations"] == [[3, 3600.0, 4200.0]]
