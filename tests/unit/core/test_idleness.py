"""Jobs that hold GPUs and do nothing with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core import notes
from mgpu.core.policy import Policy
from mgpu.core.settle import next_look
from mgpu.model import states
from mgpu.model.events import Noted, Recorded
from mgpu.model.gpu import Inventory, Reading
from mgpu.model.job import Pending
from mgpu.model.records import Drain
from mgpu.testing.builders import Desk, a_gpu, a_spec

REPORT = Policy(idle_after=600.0)
REQUEUE = Policy(idle_after=600.0, idle_policy="requeue")
TOLD = "its GPUs idle for more than 10:00"


def a_desk(policy: Policy = REPORT, *, gpus: int = 1, requeue: bool = True) -> Desk:
    """Job 1 runs on so many GPUs, of which nothing is read yet."""
    desk = Desk(*[20000] * gpus, policy=policy)
    desk.submit(a_spec(gpus, 8000, requeue=requeue))
    desk.run()
    desk.launched(1)
    look(desk, *[-1] * gpus, after=0.0)
    return desk


def look(desk: Desk, *percent: int, after: float = 300.0, available: bool = True) -> None:
    """The GPUs are looked at, and are found to be in use so much."""
    desk.wait(after)
    gpus = [
        replace(a_gpu(index, 20000), reading=Reading(used), available=available)
        for index, used in enumerate(percent)
    ]
    desk.world.set_inventory(Inventory("nvml", tuple(gpus), taken=desk.now.boot))
    desk.run()


def told(desk: Desk) -> list[str]:
    return [event.text for event in desk.log if isinstance(event, Noted)]


def test_a_job_that_never_uses_its_gpus_is_told_of() -> None:
    desk = a_desk()
    look(desk, 0)
    assert desk.job(1).note == ""
    look(desk, 0)
    assert desk.job(1).note == TOLD


def test_a_job_that_was_busy_and_became_idle_is_told_of_since_then() -> None:
    desk = a_desk()
    for percent in (95, 0, 90, 0):
        look(desk, percent)
    assert told(desk) == []
    look(desk, 0)
    assert desk.job(1).note == TOLD


def test_the_time_that_is_shown_goes_on_and_is_not_stored() -> None:
    desk = a_desk()
    for _ in range(30):
        look(desk, 0)
    assert notes.shown(desk.world, desk.job(1)) == "its GPUs idle for 2:30:00"
    assert told(desk) == [TOLD]


def test_a_job_that_is_busy_again_is_told_of_no_longer() -> None:
    desk = a_desk()
    look(desk, 0)
    look(desk, 0)
    look(desk, 1)
    assert desk.job(1).note == notes.shown(desk.world, desk.job(1)) == ""
    assert told(desk) == [TOLD, ""]


def test_one_gpu_in_use_is_enough() -> None:
    desk = a_desk(gpus=2)
    look(desk, 0, 40)
    look(desk, 0, 40)
    assert told(desk) == []


@pytest.mark.parametrize("percent", [(0, -1), (-1, -1)])
def test_what_is_not_known_is_not_idle(percent: tuple[int, int]) -> None:
    desk = a_desk(gpus=2)
    for _ in range(5):
        look(desk, *percent)
    assert told(desk) == []


def test_a_gpu_that_does_not_answer_is_not_idle() -> None:
    desk = a_desk()
    for _ in range(5):
        look(desk, 0, available=False)
    assert [text for text in told(desk) if "idle" in text] == []


def test_a_silent_driver_makes_nobody_idle() -> None:
    desk = a_desk()
    look(desk, 0)
    desk.wait(10_000)
    desk.run()
    assert told(desk) == []


def test_how_much_use_is_none_can_be_said() -> None:
    desk = a_desk(Policy(idle_after=600.0, idle_below=5))
    look(desk, 4)
    look(desk, 4)
    assert desk.job(1).note == TOLD


def test_nobody_is_idle_unless_a_time_is_configured() -> None:
    desk = a_desk(Policy())
    for _ in range(100):
        look(desk, 0)
    assert told(desk) == []


def test_a_job_without_gpus_is_never_idle() -> None:
    desk = Desk(20000, policy=REPORT)
    desk.submit(a_spec(0))
    desk.run()
    desk.launched(1)
    for _ in range(5):
        look(desk, 0)
    assert told(desk) == []


def test_by_order_an_idle_job_goes_back_to_the_end_of_the_queue() -> None:
    desk = a_desk(REQUEUE)
    other = desk.submit(a_spec(1, 15000))
    look(desk, 0)
    look(desk, 0)
    assert desk.job(1).state == states.COMPLETING
    job = desk.end(1, code=None, signal=15)
    assert isinstance(job.phase, Pending)
    assert (job.restarts, job.note) == (1, "switched out: its GPUs idle for 10:00")
    assert other in desk.run()
    assert 1 not in desk.world.placed


def test_the_next_attempt_has_its_own_time() -> None:
    desk = a_desk(REQUEUE)
    look(desk, 0)
    look(desk, 0)
    desk.end(1, code=None, signal=15)
    desk.run()
    desk.launched(1)
    assert desk.job(1).note == ""
    look(desk, 0)
    look(desk, 0)
    assert desk.job(1).state == states.RUNNING
    look(desk, 0)
    assert desk.job(1).state == states.COMPLETING


def test_a_job_that_may_not_be_put_back_is_only_told_of() -> None:
    desk = a_desk(REQUEUE, requeue=False)
    look(desk, 0)
    look(desk, 0)
    assert (desk.job(1).state, desk.job(1).note) == (states.RUNNING, TOLD)


def test_a_job_that_was_put_back_too_often_is_only_told_of() -> None:
    desk = a_desk(replace(REQUEUE, max_requeues=1))
    for _ in range(2):
        for _ in range(3):
            look(desk, 0)
        if desk.job(1).state == states.COMPLETING:
            desk.end(1, code=None, signal=15)
            desk.run()
            desk.launched(1)
    assert (desk.job(1).state, desk.job(1).note) == (states.RUNNING, TOLD)


def test_a_note_tells_of_all_there_is() -> None:
    desk = a_desk()
    look(desk, 0)
    desk.apply(Recorded(desk.now, 0, Drain("GPU-0", "Xid 79", 0, 0.0, fault=True)))
    look(desk, 0)
    assert desk.job(1).note == f"gpu0 reported Xid 79: the GPU is drained; {TOLD}"
    look(desk, 50)
    assert desk.job(1).note == "gpu0 reported Xid 79: the GPU is drained"


def test_a_look_is_wanted_when_a_job_may_be_idle_for_too_long() -> None:
    desk = Desk(20000, policy=REPORT)
    desk.submit(a_spec())
    desk.run()
    look(desk, 0)  # it starts: its time begins
    assert next_look(desk.world) == desk.now.boot + 600
    desk.launched(1)
    look(desk, 0, after=600.0)
    assert desk.job(1).note == TOLD
    assert next_look(desk.world) is None
    look(desk, 100)
    assert next_look(desk.world) == desk.now.boot + 600


def test_no_look_is_wanted_where_nobody_counts_as_idle() -> None:
    desk = a_desk(Policy())
    look(desk, 0)
    assert next_look(desk.world) is None
