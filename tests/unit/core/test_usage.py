"""What jobs use of their GPUs' memory: peaks that survive, and what comes of using too much."""

from __future__ import annotations

from dataclasses import replace

from mgpu.core import usage
from mgpu.core.policy import Policy
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import Measured
from mgpu.model.gpu import Gpu, Inventory
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
