"""What jobs use of their GPUs' memory: peaks that survive, and what comes of using too much."""

from __future__ import annotations

from dataclasses import replace

from mgpu.core import usage
from mgpu.core.forecast import forecast
from mgpu.core.policy import Policy
from mgpu.core.settle import next_look
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import Measured
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.job import Ended
from mgpu.testing.builders import Desk, a_gpu, a_spec

Uses = dict[int, dict[int, int]]


def look(desk: Desk, uses: Uses, *, after: float = 5.0) -> None:
    """The GPUs are looked at: ``uses`` are the MiB of each job on each GPU, by index."""
    desk.wait(after)
    gpus = [
        replace(a_gpu(index, 20000), measured=tuple(uses.get(index, {}).items()))
        for index in range(len(desk.world.gpus))
    ]
    see(desk, *gpus)


def see(desk: Desk, *gpus: Gpu) -> None:
    desk.world.set_inventory(Inventory("nvml", gpus, taken=desk.now.boot))
    desk.run()


def a_desk(
    *, gpus: int = 1, mem: int | None = 8000, policy: Policy | None = None, requeue: bool = True
) -> Desk:
    """Job 1 runs on so many GPUs."""
    desk = Desk(*[20000] * gpus, policy=policy)
    desk.submit(a_spec(gpus, mem, requeue=requeue))
    desk.run()
    desk.launched(1)
    return desk


def measured(desk: Desk) -> list[Measured]:
    return [event for event in desk.log if isinstance(event, Measured)]


def reloaded(desk: Desk) -> World:
    """The world as it is after the scheduler was killed and started again."""
    jobs = [replace(job) for job in desk.world.jobs.values()]
    return World(desk.world.policy, desk.world.inventory, jobs=jobs)


def test_the_peak_of_each_gpu_is_kept_while_use_goes_up_and_down() -> None:
    desk = a_desk(gpus=2)
    look(desk, {0: {1: 3000}, 1: {1: 100}})
    look(desk, {0: {1: 500}, 1: {1: 4000}})
    assert desk.job(1).peaks == (("GPU-0", 3000), ("GPU-1", 4000))


def test_small_growth_is_known_but_not_stored_each_time() -> None:
    desk = a_desk()
    look(desk, {0: {1: 4000}})
    look(desk, {0: {1: 4199}})
    assert desk.job(1).peaks == (("GPU-0", 4000),)
    assert usage.peaks(desk.world, desk.job(1)) == (("GPU-0", 4199),)
    look(desk, {0: {1: 4200}})
    assert desk.job(1).peaks == (("GPU-0", 4200),)


def test_the_number_of_events_is_bounded_however_use_grows() -> None:
    desk = a_desk(mem=None)
    for used in range(10, 20000, 10):
        look(desk, {0: {1: used}})
    assert len(measured(desk)) < 90


def test_an_end_stores_the_exact_peak() -> None:
    desk = a_desk()
    look(desk, {0: {1: 4000}})
    look(desk, {0: {1: 4100}})
    look(desk, {0: {1: 10}})
    job = desk.end(1)
    assert (job.state, job.peaks) == (states.COMPLETED, (("GPU-0", 4100),))
    assert len(measured(desk)) == 2


def test_an_end_without_more_use_stores_nothing_again() -> None:
    desk = a_desk()
    look(desk, {0: {1: 4000}})
    assert desk.end(1).peaks == (("GPU-0", 4000),)
    assert len(measured(desk)) == 1


def test_the_peak_survives_a_scheduler_that_is_killed() -> None:
    desk = a_desk()
    look(desk, {0: {1: 4000}})
    desk.world = reloaded(desk)
    look(desk, {0: {1: 1000}})
    assert desk.end(1).peaks == (("GPU-0", 4000),)


def test_another_attempt_begins_anew() -> None:
    desk = a_desk(policy=Policy(max_job_time=10))
    look(desk, {0: {1: 4000}})
    desk.end(1, code=None, cause="timelimit")
    desk.run()
    desk.launched(1)
    assert (desk.job(1).attempt, desk.job(1).peaks) == (2, ())
    look(desk, {0: {1: 300}})
    assert desk.job(1).peaks == (("GPU-0", 300),)


def test_use_of_a_gpu_that_is_not_its_own_is_no_peak_of_the_job() -> None:
    desk = a_desk(gpus=1)
    desk.set_gpus(a_gpu(0, 20000), a_gpu(1, 20000))
    look(desk, {0: {1: 400}, 1: {1: 900}})
    assert desk.job(1).peaks == (("GPU-0", 400),)


def test_what_is_measured_before_the_start_is_reported_waits_for_that() -> None:
    desk = Desk(20000)
    desk.submit(a_spec())
    desk.run()
    look(desk, {0: {1: 400}})
    assert desk.job(1).peaks == ()
    desk.launched(1)
    look(desk, {0: {1: 300}})
    assert desk.job(1).peaks == (("GPU-0", 400),)


def over(desk: Desk, *uses: int) -> str:
    """Job 1 is seen to use these MiB of gpu0, every 30 seconds; its note then."""
    for used in uses:
        look(desk, {0: {1: used}}, after=30.0)
    return desk.job(1).note


def test_use_above_what_was_asked_for_is_told_after_the_margin_and_the_grace() -> None:
    desk = a_desk()
    assert over(desk, 8512, 8512, 8512, 8512) == ""
    assert over(desk, 8513, 8513) == ""
    assert over(desk, 8513) == "uses 8513 MiB of gpu0, asked for 8000"
    assert over(desk, 8512) == ""


def test_use_that_is_back_in_between_is_not_held_against_a_job() -> None:
    assert over(a_desk(), 9000, 9000, 8000, 9000, 9000) == ""


def test_the_note_follows_the_use_in_steps() -> None:
    desk = a_desk()
    assert "9000 MiB" in over(desk, 9000, 9000, 9000, 9100)
    assert "9500 MiB" in over(desk, 9500)


def test_the_note_names_each_gpu() -> None:
    desk = a_desk(gpus=2)
    for _ in range(3):
        look(desk, {0: {1: 9000}, 1: {1: 10000}}, after=30.0)
    assert desk.job(1).note == "uses 9000 MiB of gpu0, 10000 MiB of gpu1, asked for 8000"


def test_a_driver_that_is_silent_holds_nothing_against_a_job() -> None:
    desk = a_desk(policy=Policy(over_memory="kill"))
    over(desk, 9000)
    desk.wait(1000)
    desk.run()
    see(desk, replace(a_gpu(0, 20000), available=False, note="unknown", measured=((1, 9000),)))
    desk.wait(1000)
    assert over(desk, 9000) == ""
    assert desk.job(1).state == states.RUNNING


def test_a_job_that_has_its_gpu_for_itself_may_use_all_of_it() -> None:
    assert over(a_desk(mem=None), 19000, 19000, 19000, 19000) == ""
    desk = Desk(20000, policy=Policy(over_memory="kill"))
    desk.submit(a_spec(1, 8000, exclusive=True))
    desk.run()
    desk.launched(1)
    assert over(desk, 19000, 19000, 19000, 19000) == ""
    assert desk.job(1).state == states.RUNNING


def test_by_order_such_a_job_ends_and_its_owner_is_told_why() -> None:
    desk = a_desk(policy=Policy(over_memory="kill"))
    over(desk, 9000, 9000)
    assert desk.job(1).state == states.RUNNING
    over(desk, 9000)
    assert desk.job(1).state == states.COMPLETING
    job = desk.end(1, code=None, signal=15)
    assert isinstance(job.phase, Ended)
    assert job.state == states.OUT_OF_MEMORY
    assert job.phase.detail == "uses 9000 MiB of gpu0, asked for 8000"


def test_margin_and_grace_can_be_nothing() -> None:
    desk = a_desk(policy=Policy(over_memory="kill", over_memory_margin=0, over_memory_grace=0.0))
    over(desk, 8000)
    assert desk.job(1).state == states.RUNNING
    over(desk, 8001)
    assert desk.job(1).state == states.COMPLETING


def test_rules_that_change_hold_from_the_next_look_on() -> None:
    desk = a_desk()
    over(desk, 9000, 9000, 9000)
    desk.world.set_policy(Policy(over_memory="kill"))
    over(desk, 9000)
    assert desk.job(1).state == states.COMPLETING


def test_what_is_used_beyond_the_reserved_is_not_given_to_neighbours() -> None:
    desk = a_desk()
    look(desk, {0: {1: 15000}})
    desk.submit(a_spec(1, 6000))
    assert desk.run() == {}
    look(desk, {0: {1: 14000}})
    assert 2 in desk.world.placed


def test_a_look_ahead_ends_nobody_for_memory_or_idleness() -> None:
    desk = a_desk(policy=Policy(over_memory="kill", max_job_time=10_000))
    over(desk, 9000, 9000)
    desk.submit(a_spec(limit=10))
    expected = forecast(desk.world, desk.now)
    assert expected[2].wall > desk.now.wall + 9000


def test_a_look_is_wanted_when_the_grace_is_over() -> None:
    desk = a_desk()
    assert next_look(desk.world) is None
    over(desk, 9000)
    assert next_look(desk.world) == desk.now.boot + 60
    over(desk, 9000)
    assert next_look(desk.world) == desk.now.boot + 30
    over(desk, 9000)
    assert next_look(desk.world) is None
