"""Which GPUs serve jobs: orders of administrators, faults, and what becomes of both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import forget_boot
from mgpu.core.orders import (
    DrainGpus,
    HeedProcess,
    IgnoreProcess,
    Kept,
    Order,
    RestrictGpus,
    ResumeGpus,
)
from mgpu.core.policy import Policy
from mgpu.core.serving import MOST_LISTED, find
from mgpu.gpus.base import MAX_PROCESSES
from mgpu.model.errors import MgpuError
from mgpu.model.gpu import Gpu, Inventory, Process
from mgpu.model.records import Drain, Excused, Ignored, Outsider, Record, Restriction
from mgpu.testing.builders import Desk, a_gpu, a_spec

CAROL = 1003
XID = "Xid 48: double bit error"
UUIDS = ("GPU-aa01", "GPU-aa02", "GPU-bb03")


def a_desk(*gpus: Gpu, policy: Policy | None = None) -> Desk:
    desk = Desk(policy=policy)
    look(desk, *(gpus or [a_gpu(0), a_gpu(1), a_gpu(2)]))
    return desk


def look(desk: Desk, *gpus: Gpu) -> None:
    desk.world.set_inventory(Inventory("nvml", gpus, taken=desk.now.boot))
    check_invariants(desk.world)


def refused(desk: Desk, order: Order) -> MgpuError:
    with pytest.raises(MgpuError) as caught:
        desk.ask(order)
    return caught.value


def in_use(desk: Desk) -> list[int]:
    return [gpu.index for gpu in desk.world.gpus.values() if gpu.available]


def kept(desk: Desk, kind: type[Record]) -> list[Record]:
    return [*desk.world.records.all(kind)]


def faulty(fault: str = XID, index: int = 1) -> Gpu:
    return replace(a_gpu(index), fault=fault)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["0"], [0]),
        (["gpu2"], [2]),
        (["GPU2"], [2]),
        (["0-1", "1"], [0, 1]),
        (["gpu1-2"], [1, 2]),
        (["gpu1-gpu2", "0"], [1, 2, 0]),
        (["GPU-aa01"], [0]),
        (["gpu-BB"], [2]),
    ],
)
def test_gpus_are_named_by_index_or_by_the_beginning_of_their_uuid(
    words: list[str], found: list[int]
) -> None:
    desk = a_desk(*(replace(a_gpu(i), uuid=uuid) for i, uuid in enumerate(UUIDS)))
    assert find(desk.world, words) == [UUIDS[index] for index in found]


@pytest.mark.parametrize(
    ("word", "code", "message"),
    [
        ("3", "Unknown", 'there is no GPU "gpu3"; there are gpu0, gpu1, gpu2'),
        ("1-4", "Unknown", 'there is no GPU "gpu3"'),
        ("2-1", "Unknown", 'there is no GPU "2-1"'),
        ("", "Unknown", 'there is no GPU ""'),
        ("all", "Unknown", 'there is no GPU "all"'),
        ("GPU-aa", "BadRequest", '"GPU-aa" begins gpu0, gpu1'),
    ],
)
def test_a_name_that_says_nothing(word: str, code: str, message: str) -> None:
    desk = a_desk(*(replace(a_gpu(i), uuid=uuid) for i, uuid in enumerate(UUIDS)))
    with pytest.raises(MgpuError) as caught:
        find(desk.world, [word])
    assert (caught.value.code, caught.value.path) == (code, "gpus")
    assert caught.value.message.startswith(message)
    assert caught.value.hint


# -- drain and resume ------------------------------------------------------------------------------


def test_drained_gpus_take_nothing_new_and_what_runs_goes_on() -> None:
    desk = a_desk()
    desk.submit(a_spec(3))
    desk.run()
    desk.launched(1)
    assert desk.ask(DrainGpus(CAROL, ("0", "gpu1"), "new fans")) == Kept("gpu0,gpu1")
    assert in_use(desk) == [2]
    assert desk.job(1).state == "RUNNING"
    assert kept(desk, Drain)[0] == Drain("GPU-0", "new fans", CAROL, desk.now.wall)
    desk.ask(ResumeGpus(CAROL, ("0-1",)))
    assert in_use(desk) == [0, 1, 2]


def test_a_second_drain_says_what_the_first_was_for_and_changes_nothing() -> None:
    desk = a_desk()
    desk.ask(DrainGpus(CAROL, ("1",), "new fans"))
    error = refused(desk, DrainGpus(CAROL, ("0", "1"), "mine"))
    assert str(error) == "gpus: gpu1 is drained already: new fans"
    assert in_use(desk) == [0, 2]


def test_what_is_not_drained_is_not_resumed() -> None:
    error = refused(a_desk(), ResumeGpus(CAROL, ("0",)))
    assert (error.code, error.message) == ("Refused", "gpu0 is not drained")


def test_a_drained_gpu_that_is_gone_is_resumed_by_its_uuid() -> None:
    desk = a_desk()
    desk.ask(DrainGpus(CAROL, ("2",), "to be replaced"))
    look(desk, a_gpu(0), a_gpu(1))
    assert desk.ask(ResumeGpus(CAROL, ("GPU-2",))) == Kept("GPU-2")
    assert kept(desk, Drain) == []


def test_a_card_is_drained_with_its_instances() -> None:
    parts = [replace(a_gpu(index), card="GPU-card") for index in (0, 1)]
    desk = a_desk(*parts, a_gpu(2))
    desk.ask(DrainGpus(CAROL, ("GPU-card",), "x"))
    assert in_use(desk) == [2]
    desk.ask(ResumeGpus(CAROL, ("GPU-card",)))
    assert in_use(desk) == [0, 1, 2]


# -- restriction -----------------------------------------------------------------------------------


def test_new_starts_are_restricted_whatever_is_configured_until_that_is_lifted() -> None:
    desk = a_desk(policy=Policy(devices=frozenset({0})))
    assert in_use(desk) == [0]
    assert desk.ask(RestrictGpus(CAROL, ("1-2",))) == Kept("gpu1,gpu2")
    assert in_use(desk) == [1, 2]
    assert desk.ask(RestrictGpus(CAROL, ("all",))) == Kept("all")
    assert in_use(desk) == [0]
    assert desk.ask(RestrictGpus(CAROL, ("all",))) == Kept("all")


def test_a_card_stands_for_its_instances() -> None:
    parts = [replace(a_gpu(index), card="GPU-card") for index in (0, 1)]
    desk = a_desk(*parts, a_gpu(2))
    desk.ask(RestrictGpus(CAROL, ("GPU-card",)))
    assert kept(desk, Restriction) == [Restriction(("GPU-0", "GPU-1"), CAROL)]
    assert in_use(desk) == [0, 1]


# -- processes that are ignored --------------------------------------------------------------------


def occupied(*processes: Process) -> Gpu:
    used = sum(process.memory for process in processes)
    return replace(a_gpu(0, outside=used), used=used, processes=processes)


def test_an_ignored_process_does_not_take_its_gpu() -> None:
    desk = a_desk(occupied(Process(44, 700, 1001, 0, 9)))
    assert not desk.world.rooms()[0].quiet
    assert desk.ask(IgnoreProcess(CAROL, 44)) == Kept("44")
    assert kept(desk, Ignored) == [Ignored(44, 9, CAROL)]
    assert desk.world.rooms()[0].quiet
    desk.ask(HeedProcess(CAROL, 44))
    assert not desk.world.rooms()[0].quiet


@pytest.mark.parametrize(
    ("order", "code", "message"),
    [
        (IgnoreProcess(CAROL, 45), "Unknown", "no GPU is used by a process 45"),
        (IgnoreProcess(CAROL, 46), "Refused", "process 46 belongs to job 7"),
        (HeedProcess(CAROL, 44), "Unknown", "process 44 is not ignored"),
    ],
)
def test_processes_that_cannot_be_ignored(order: Order, code: str, message: str) -> None:
    desk = a_desk(occupied(Process(44, 700, 1001, 0, 9), Process(46, 1, 1001, 7, 9)))
    error = refused(desk, order)
    assert (error.code, error.path, error.message) == (code, "pid", message)


def test_a_process_that_is_not_listed_among_many_is_not_forgotten() -> None:
    many = [Process(100 + number, 900, 1001, 0, 9) for number in range(MOST_LISTED)]
    desk = a_desk(occupied(Process(44, 700, 1001, 0, 9)))
    desk.ask(IgnoreProcess(CAROL, 44))
    look(desk, occupied(*many))
    desk.run()
    assert kept(desk, Ignored)
    assert MOST_LISTED <= MAX_PROCESSES


def test_an_ignored_process_that_is_gone_is_forgotten() -> None:
    desk = a_desk(occupied(Process(44, 700, 1001, 0, 9)))
    desk.ask(IgnoreProcess(CAROL, 44))
    desk.run()
    assert kept(desk, Ignored)
    look(desk, replace(a_gpu(0), available=False))  # nobody knows what is on it
    desk.run()
    assert kept(desk, Ignored)
    look(desk, occupied(Process(44, 700, 1001, 0, 10)))  # another one of that number
    desk.run()
    assert not kept(desk, Ignored)


# -- faults ----------------------------------------------------------------------------------------


def a_desk_with_a_fault() -> Desk:
    """Job 1 runs on gpu1, which reports a fault."""
    desk = a_desk()
    desk.submit(replace(a_spec(), gpu_uuids=("GPU-1",)))
    desk.run()
    desk.launched(1)
    look(desk, a_gpu(0), faulty(), a_gpu(2))
    desk.run()
    return desk


def test_a_fault_drains_the_gpu_and_its_jobs_are_told() -> None:
    desk = a_desk_with_a_fault()
    assert kept(desk, Drain) == [Drain("GPU-1", XID, 0, desk.now.wall, fault=True)]
    assert in_use(desk) == [0, 2]
    assert desk.job(1).state == "RUNNING"
    assert desk.job(1).note == f"gpu1 reported {XID}: the GPU is drained"
    events = len(desk.log)
    desk.run()
    assert len(desk.log) == events, "once"


def test_a_fault_that_passes_leaves_the_gpu_drained() -> None:
    desk = a_desk_with_a_fault()
    look(desk, a_gpu(0), a_gpu(1), a_gpu(2))
    desk.run()
    assert in_use(desk) == [0, 2]


def test_after_a_resume_the_same_fault_does_not_drain_again_and_another_does() -> None:
    desk = a_desk_with_a_fault()
    desk.ask(ResumeGpus(CAROL, ("1",)))
    desk.run()
    assert in_use(desk) == [0, 1, 2]
    look(desk, a_gpu(0), replace(a_gpu(1), available=False), a_gpu(2))  # it says nothing now
    desk.run()
    look(desk, a_gpu(0), faulty(), a_gpu(2))
    desk.run()
    assert in_use(desk) == [0, 1, 2]
    look(desk, a_gpu(0), faulty("Xid 79: fell off the bus"), a_gpu(2))
    desk.run()
    assert in_use(desk) == [0, 2]
    assert kept(desk, Excused) == []


def test_a_fault_that_comes_back_after_it_had_passed_drains_again() -> None:
    desk = a_desk_with_a_fault()
    desk.ask(ResumeGpus(CAROL, ("1",)))
    for gpu in (a_gpu(1), faulty()):
        look(desk, a_gpu(0), gpu, a_gpu(2))
        desk.run()
    assert in_use(desk) == [0, 2]


def test_an_order_takes_the_place_of_the_drain_of_a_fault() -> None:
    desk = a_desk_with_a_fault()
    desk.ask(DrainGpus(CAROL, ("1",), "sent back"))
    desk.run()
    assert kept(desk, Drain) == [Drain("GPU-1", "sent back", CAROL, desk.now.wall, broken=XID)]


def test_a_restart_of_the_machine_ends_what_was_known_of_faults_and_processes() -> None:
    desk = a_desk_with_a_fault()
    desk.ask(DrainGpus(CAROL, ("2",), "new fans"))
    for record in (Ignored(44, 9, 0), Excused("GPU-0", XID), Outsider(4, 5, 6, "GPU-0", 7, 8.0)):
        desk.world.records.put(record)
    desk.world.records.put(Restriction(("GPU-1",), CAROL))
    forget_boot(desk.world)
    left = [type(one) for one in desk.world.records.everything() if type(one).__name__ != "Usage"]
    assert left == [Drain, Restriction]
    assert [drain.key for drain in desk.world.records.all(Drain)] == ["GPU-2"]
    assert in_use(desk) == [1]
