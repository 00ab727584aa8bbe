"""Which GPUs are given out: orders, what outsiders and strayed jobs use, what the last job left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.invariants import check_invariants
from mgpu.core.policy import Policy
from mgpu.model.events import Erased, Recorded
from mgpu.model.gpu import Gpu, Inventory, Process, Reading
from mgpu.model.records import Base, Drain, Ignored, Restriction
from mgpu.testing.builders import Desk, a_gpu, a_spec

CLEANING = Policy(cleaning=True, cleaning_limit=30.0)


def shown(desk: Desk, index: int = 0) -> Gpu:
    return desk.world.gpus[f"GPU-{index}"]


def look(desk: Desk, *gpus: Gpu, after: float = 0.0) -> None:
    """The GPUs are looked at ``after`` seconds from now."""
    desk.world.set_inventory(Inventory("nvml", gpus, taken=desk.now.boot + after))
    check_invariants(desk.world)


def used(gpu: Gpu, memory: int, *processes: Process) -> Gpu:
    return replace(gpu, used=memory, processes=processes)


def a_desk_after_a_job() -> Desk:
    """Job 1 ran on gpu0 alone, which has 100 MiB in use when nobody is there, and has ended."""
    desk = Desk(20000, policy=CLEANING)
    look(desk, used(a_gpu(0, 20000), 100))
    desk.submit(a_spec())
    desk.run()
    desk.launched(1)
    desk.end(1)
    return desk


def test_a_drained_gpu_takes_nothing_new_until_it_is_resumed() -> None:
    desk = Desk(20000, 20000)
    desk.apply(Recorded(desk.now, 0, Drain("GPU-0", "fan is loud", 0, desk.now.wall)))
    assert (shown(desk).available, shown(desk).note) == (False, "drained: fan is loud")
    assert shown(desk, 1).available
    desk.apply(Erased(desk.now, 0, "Drain", "GPU-0"))
    assert shown(desk).available


def test_a_drained_card_drains_its_instances() -> None:
    desk = Desk(20000)
    look(desk, replace(a_gpu(0), card="GPU-card"))
    desk.apply(Recorded(desk.now, 0, Drain("GPU-card", "x", 0, 0.0, fault=True)))
    assert not shown(desk).available


def test_a_restriction_at_run_time_goes_before_the_configured_one() -> None:
    desk = Desk(20000, 20000, policy=Policy(devices=frozenset({0})))
    assert [shown(desk, index).available for index in (0, 1)] == [True, False]
    desk.apply(Recorded(desk.now, 0, Restriction(("GPU-1",), 0)))
    assert [shown(desk, index).available for index in (0, 1)] == [False, True]
    assert shown(desk).note == "not among the GPUs that mgpu may use"


def test_an_outsider_that_is_ignored_keeps_its_memory_and_does_not_take_the_gpu() -> None:
    desk = Desk(20000)
    look(desk, used(a_gpu(0, 20000, outside=700), 700, Process(44, 700, 1, 0, 9)))
    assert not desk.world.rooms()[0].quiet
    desk.apply(Recorded(desk.now, 0, Ignored(44, 9, 0)))
    assert (shown(desk).outside, shown(desk).foreign) == (700, 0)
    assert desk.world.rooms()[0].quiet
    desk.apply(Recorded(desk.now, 0, Ignored(44, 8, 0)))  # of another process, long ago
    assert not desk.world.rooms()[0].quiet


def test_memory_that_is_always_in_use_by_order_does_not_take_the_gpu() -> None:
    desk = Desk(20000)
    look(desk, used(a_gpu(0, 20000), 1000))
    assert not desk.world.rooms()[0].quiet
    desk.apply(Recorded(desk.now, 0, Base("GPU-0", 1000, 0)))
    assert desk.world.rooms()[0].quiet
    assert desk.world.rooms()[0].free == 19000
    stranger = Process(44, 700, 1, 0, 9)
    for memory in (1700, 700):  # the rest may go
        look(desk, used(a_gpu(0, 20000, outside=700), memory, stranger))
        assert not desk.world.rooms()[0].quiet


@pytest.mark.parametrize(
    ("others", "foreign"),
    [([], 0), ([Process(45, 900, 1002, 0, 8)], 900), ([Process(45, -1, 1002, 0, 8)], 6000)],
    ids=["nobody else", "one of whom it is told", "one more of whom it is not told"],
)
def test_what_nobody_is_known_to_use_is_that_of_an_ignored_process_of_whom_it_is_not_told(
    others: list[Process], foreign: int
) -> None:
    desk = Desk(20000)
    told = sum(max(0, one.memory) for one in others)
    gpu = replace(a_gpu(0, 20000, outside=told), used=6000, untold=(0,))
    look(desk, replace(gpu, processes=(Process(44, -1, 1001, 0, 9), *others)))
    assert shown(desk).foreign == 6000
    desk.apply(Recorded(desk.now, 0, Ignored(44, 9, 0)))
    assert (shown(desk).outside, shown(desk).foreign) == (6000, foreign)


def test_all_outsiders_can_be_ignored() -> None:
    desk = Desk(20000, policy=Policy(outsiders="ignore"))
    look(desk, a_gpu(0, 20000, outside=700))
    assert (shown(desk).outside, shown(desk).foreign) == (700, 0)


def test_what_a_job_uses_of_a_gpu_that_it_was_not_given_counts_as_outside() -> None:
    desk = Desk(20000, 20000)
    desk.submit(a_spec(1, 8000))
    desk.run()
    desk.launched(1)
    look(desk, *(replace(a_gpu(i, 20000), used=3000, measured=((1, 3000),)) for i in (0, 1)))
    assert [shown(desk, index).outside for index in (0, 1)] == [0, 3000]


def running(*sizes: int | None, policy: Policy = CLEANING) -> Desk:
    """A job for each size runs on the only GPU; None: alone."""
    desk = Desk(20000, policy=policy)
    for size in sizes:
        desk.submit(a_spec(1, size))
    desk.run()
    for number, _ in enumerate(sizes, 1):
        desk.launched(number)
    return desk


#: What jobs asked for, what is used, what each is measured to use, who is not told, what the
#: driver tells of outsiders, and what of it counts as used by others.
WHOSE: list[tuple[list[int | None], int, dict[int, int], list[int], int, int]] = [
    # Nobody holds the GPU: all of it is used by others, whatever the driver tells of them.
    ([], 10000, {}, [], 0, 10000),
    ([], 10000, {}, [0], 300, 10000),
    # All is told of who holds it.
    ([8000], 10000, {1: 7000}, [], 0, 3000),
    ([8000], 10000, {1: 7000}, [0], 2000, 3000),
    ([8000], 500, {}, [], 0, 500),
    ([None], 10000, {1: 9800}, [], 0, 200),
    ([8000], 10000, {1: 7000}, [], 4000, 4000),  # between two calls of the driver
    # Not all is told: what holders asked for is theirs, and what one uses beyond it.
    ([4000], 14000, {}, [0, 1], 0, 10000),
    ([4000], 3000, {}, [1], 0, 0),
    ([4000], 3000, {}, [1], 1000, 1000),
    ([4000, 3000], 14000, {1: 9000}, [2], 0, 2000),
    # Who has the GPU alone may use all of it.
    ([None], 14000, {}, [1], 0, 0),
    ([None], 14000, {}, [0, 1], 600, 600),
]


@pytest.mark.parametrize(("asked", "memory", "measured", "untold", "told", "outside"), WHOSE)
def test_what_the_holders_cannot_be_using_is_used_by_others(
    asked: list[int | None],
    memory: int,
    measured: dict[int, int],
    untold: list[int],
    told: int,
    outside: int,
) -> None:
    desk = running(*asked)
    gpu = replace(a_gpu(0, 20000, outside=told), used=memory, untold=tuple(untold))
    look(desk, replace(gpu, measured=tuple(measured.items())))
    assert shown(desk).outside == outside


@pytest.mark.parametrize(
    ("asked", "memory", "outside"),
    [([], 7000, 7000), ([7000], 7000, 0), ([7000], 9000, 2000), ([None], 9000, 0)],
)
def test_where_the_driver_tells_of_no_process_jobs_count_for_what_they_asked_for(
    asked: list[int | None], memory: int, outside: int
) -> None:
    desk = running(*asked)
    look(desk, replace(a_gpu(0, 20000), used=memory, told=False))
    assert shown(desk).outside == outside


@pytest.mark.parametrize("told", [True, False])
def test_what_a_job_leaves_is_not_an_outsider_s(*, told: bool) -> None:
    desk = running(None)
    look(desk, replace(a_gpu(0, 20000), used=9000, told=told))
    desk.end(1)
    assert (shown(desk).cleaning, shown(desk).outside) == (True, 0)
    look(desk, replace(a_gpu(0, 20000), told=False), after=1)
    assert (shown(desk).cleaning, shown(desk).outside) == (False, 0)


def test_a_gpu_that_a_job_uses_without_having_it_is_not_free_however_little_is_told() -> None:
    desk = Desk(20000, 20000)
    desk.submit(a_spec())
    desk.run()
    desk.launched(1)
    (given,) = desk.job(1).gpus
    gpus = [replace(a_gpu(index, 20000), used=0, untold=(1,)) for index in (0, 1)]
    look(desk, *gpus)
    quiet = {room.uuid: room.quiet for room in desk.world.rooms()}
    assert quiet == {f"GPU-{index}": f"GPU-{index}" == given for index in (0, 1)}


def test_neighbours_are_admitted_beside_what_a_job_really_uses() -> None:
    desk = Desk(20000)
    desk.submit(a_spec(1, 8000))
    desk.run()
    desk.launched(1)
    look(desk, replace(a_gpu(0, 20000), measured=((1, 15000),)))
    assert desk.world.rooms()[0].free == 5000


def test_readings_alone_are_no_news() -> None:
    desk = Desk(20000)
    generation = desk.world.generation
    look(desk, replace(a_gpu(0, 20000), reading=Reading(utilization=50)))
    assert desk.world.generation == generation
    assert shown(desk).reading.utilization == 50


def test_a_gpu_is_given_out_again_when_its_last_job_is_seen_to_be_gone() -> None:
    desk = a_desk_after_a_job()
    assert shown(desk).cleaning
    look(desk, used(a_gpu(0, 20000), 100))  # it was looked at before the job ended
    assert shown(desk).cleaning
    look(desk, used(a_gpu(0, 20000), 100), after=1)
    assert (shown(desk).cleaning, shown(desk).available) == (False, True)


def test_a_process_that_is_left_keeps_the_gpu_and_in_the_end_makes_it_dirty() -> None:
    desk = a_desk_after_a_job()
    left = used(a_gpu(0, 20000), 900, Process(77, 800, 1000, 1, 5))
    look(desk, left, after=1)
    assert (shown(desk).cleaning, shown(desk).note) == (True, "pid 77 of job 1 still there")
    look(desk, left, after=31)
    assert (shown(desk).available, shown(desk).note) == (
        False,
        "dirty: pid 77 of job 1 still there",
    )
    look(desk, used(a_gpu(0, 20000), 100), after=32)
    assert (shown(desk).available, shown(desk).cleaning) == (True, False)


def test_memory_that_does_not_come_back_keeps_the_gpu() -> None:
    desk = a_desk_after_a_job()
    look(desk, used(a_gpu(0, 20000), 165), after=1)
    assert shown(desk).note == "165 MiB in use after the end of job 1"
    look(desk, used(a_gpu(0, 20000), 164), after=2)
    assert not shown(desk).cleaning


def test_what_was_left_before_a_restart_is_seen() -> None:
    desk = Desk(20000, policy=CLEANING)
    look(desk, used(a_gpu(0, 20000), 900, Process(77, 800, 1000, 5, 5)))
    assert shown(desk).cleaning
    assert shown(desk).note == "pid 77 of job 5 still there"


def test_nothing_is_started_on_a_gpu_that_is_cleaned_up_and_its_turn_is_kept() -> None:
    desk = a_desk_after_a_job()
    desk.submit(a_spec())
    desk.run()
    assert desk.job(2).state == "PENDING"
    assert desk.world.outlook is not None
    held = desk.world.outlook.reservation
    assert held is not None
    assert (held.job.id, held.gpus, held.at) == (2, (0,), desk.now.boot)
    look(desk, used(a_gpu(0, 20000), 100), after=1)
    desk.run()
    assert desk.job(2).state == "RUNNING"
