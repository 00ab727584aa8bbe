"""What rows and the table of GPUs tell of the use of GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mgpu.core.policy import Policy
from mgpu.daemon import views
from mgpu.model.gpu import Gpu, Inventory, Reading
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
