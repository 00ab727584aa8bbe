"""Faults beneath orders, cards and their instances, GPUs that are dirty: what resuming does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core import notes
from mgpu.core.draining import dirt
from mgpu.core.forecast import forecast
from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import forget_boot
from mgpu.core.orders import DrainGpus, Kept, Order, ResumeGpus
from mgpu.core.policy import Policy
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.gpu import Gpu, Inventory, Process
from mgpu.model.records import Base, Drain, Excused, Record
from mgpu.testing.builders import Desk, a_gpu, a_spec

CAROL = 1003
XID = "Xid 79: fallen off the bus"
STILL = f"gpu0 is still drained for its fault: {XID}; once repaired, resume it again"


def look(desk: Desk, *gpus: Gpu, after: float = 0.0) -> None:
    """The GPUs are looked at ``after`` seconds from now, and a turn is taken."""
    desk.wait(after)
    desk.world.set_inventory(Inventory("nvml", gpus, taken=desk.now.boot))
    check_invariants(desk.world)
    desk.run()


def in_use(desk: Desk) -> list[int]:
    return [gpu.index for gpu in desk.world.gpus.values() if gpu.available]


def state(desk: Desk) -> str:
    return desk.world.gpus["GPU-0"].state


def kept(desk: Desk, kind: type[Record]) -> list[Record]:
    return [*desk.world.records.all(kind)]


def ordered(desk: Desk, order: Order) -> Kept:
    """The answer to an order, and the turn that it is given in."""
    answer = desk.ask(order)
    desk.run()
    assert isinstance(answer, Kept)
    return answer


def refused(desk: Desk, order: Order) -> str:
    with pytest.raises(MgpuError) as caught:
        desk.ask(order)
    assert caught.value.hint
    return caught.value.message


# -- a fault beneath an order ----------------------------------------------------------------------


def a_drained_gpu_that_breaks() -> Desk:
    """Job 1 runs on gpu0; an administrator drained it, and then it reports a fault."""
    desk = Desk(24576)
    desk.submit(a_spec())
    desk.run()
    desk.launched(1)
    desk.ask(DrainGpus(CAROL, ("0",), "new fans"))
    look(desk, replace(a_gpu(0), fault=XID))
    return desk


def test_a_fault_of_a_drained_gpu_is_told_to_its_jobs_and_shown() -> None:
    desk = a_drained_gpu_that_breaks()
    assert desk.job(1).note == f"gpu0 reported {XID}: the GPU is drained"
    gpu = desk.world.gpus["GPU-0"]
    assert (gpu.state, gpu.note) == ("fault", f"drained: new fans; it reported {XID}")
    events = len(desk.log)
    look(desk, replace(a_gpu(0), fault=XID))
    assert len(desk.log) == events, "once"


def test_resuming_a_drained_gpu_leaves_it_drained_for_its_fault() -> None:
    desk = a_drained_gpu_that_breaks()
    assert ordered(desk, ResumeGpus(CAROL, ("0",))) == Kept("gpu0", STILL)
    assert kept(desk, Drain) == [Drain("GPU-0", XID, 0, desk.now.wall, fault=True)]
    assert in_use(desk) == []
    assert ordered(desk, ResumeGpus(CAROL, ("0",))) == Kept("gpu0")
    assert kept(desk, Excused) == [Excused("GPU-0", XID)]
    assert in_use(desk) == [0]


def test_the_fault_is_known_though_nothing_reports_it_any_more() -> None:
    desk = a_drained_gpu_that_breaks()  # as after a restart of mgpu: the driver tells of it once
    look(desk, a_gpu(0))
    ordered(desk, ResumeGpus(CAROL, ("0",)))
    assert in_use(desk) == []


def test_an_order_over_a_fault_does_not_forget_the_fault() -> None:
    desk = Desk(24576)
    look(desk, replace(a_gpu(0), fault=XID))
    ordered(desk, DrainGpus(CAROL, ("0",), "sent back"))
    assert ordered(desk, ResumeGpus(CAROL, ("0",))).note == STILL
    assert in_use(desk) == []


def test_a_fault_that_is_excused_is_none_of_a_drained_gpu() -> None:
    desk = Desk(24576)
    look(desk, replace(a_gpu(0), fault=XID))
    ordered(desk, ResumeGpus(CAROL, ("0",)))
    ordered(desk, DrainGpus(CAROL, ("0",), "new fans"))
    assert ordered(desk, ResumeGpus(CAROL, ("0",))) == Kept("gpu0")
    assert in_use(desk) == [0]


def test_a_restart_of_the_machine_keeps_the_order_and_not_the_fault() -> None:
    desk = a_drained_gpu_that_breaks()
    at = desk.now.wall
    forget_boot(desk.world)
    assert kept(desk, Drain) == [Drain("GPU-0", "new fans", CAROL, at)]


# -- cards and instances ---------------------------------------------------------------------------


def a_card(fault: str = "") -> Desk:
    """gpu0 and gpu1 are instances of one card, gpu2 is none."""
    desk = Desk()
    parts = [replace(a_gpu(index), card="GPU-card", fault=fault) for index in (0, 1)]
    look(desk, *parts, a_gpu(2))
    return desk


def test_an_instance_of_a_drained_card_is_not_resumed_alone() -> None:
    desk = a_card()
    assert ordered(desk, DrainGpus(CAROL, ("GPU-card",), "fans")) == Kept("gpu0,gpu1")
    text = "gpu0 is drained with its card: fans"
    assert refused(desk, ResumeGpus(CAROL, ("0",))) == text
    assert refused(desk, ResumeGpus(CAROL, ("0-1",))) == text
    second = refused(desk, DrainGpus(CAROL, ("0",), "x"))
    assert second == "gpu0 is drained already with its card: fans"
    assert ordered(desk, ResumeGpus(CAROL, ("GPU-card", "0"))) == Kept("gpu0,gpu1")
    assert in_use(desk) == [0, 1, 2]


def test_resuming_a_card_resumes_its_instances_too() -> None:
    desk = a_card()
    ordered(desk, DrainGpus(CAROL, ("1",), "x"))
    ordered(desk, DrainGpus(CAROL, ("GPU-card",), "fans"))
    note = "gpu1 is still drained with its card: fans"
    assert ordered(desk, ResumeGpus(CAROL, ("1",))) == Kept("gpu1", note)
    assert in_use(desk) == [2]
    ordered(desk, ResumeGpus(CAROL, ("GPU-card",)))
    assert in_use(desk) == [0, 1, 2]
    assert refused(desk, ResumeGpus(CAROL, ("GPU-card",))) == "GPU-card is not drained"


def test_a_fault_of_a_card_is_repaired_by_resuming_the_card() -> None:
    desk = a_card(XID)
    assert in_use(desk) == [2]
    assert ordered(desk, ResumeGpus(CAROL, ("GPU-card",))) == Kept("gpu0,gpu1")
    assert in_use(desk) == [0, 1, 2]


def test_a_fault_stays_when_the_drain_of_the_card_is_lifted() -> None:
    desk = a_card()
    ordered(desk, DrainGpus(CAROL, ("GPU-card",), "fans"))
    broken = replace(a_gpu(0), card="GPU-card", fault=XID)
    look(desk, broken, replace(a_gpu(1), card="GPU-card"), a_gpu(2))
    assert ordered(desk, ResumeGpus(CAROL, ("GPU-card",))) == Kept("gpu0,gpu1", STILL)
    assert in_use(desk) == [1, 2]
    ordered(desk, ResumeGpus(CAROL, ("GPU-card",)))
    assert in_use(desk) == [0, 1, 2]


# -- what is dirty ---------------------------------------------------------------------------------


def after_a_job(*processes: Process, used: int = 1000) -> Desk:
    """Job 1 ended on gpu0 a minute ago, and this is in use there now; nothing was before."""
    desk = Desk(20000, policy=Policy(cleaning=True, cleaning_limit=30.0))
    look(desk, a_gpu(0, 20000))
    desk.submit(a_spec())
    desk.run()
    desk.launched(1)
    desk.end(1)
    look(desk, replace(a_gpu(0, 20000), used=used, processes=processes), after=60)
    return desk


def test_memory_that_stays_is_accepted_by_order() -> None:
    desk = after_a_job()
    assert state(desk) == "dirty"
    assert dirt(desk.world, "GPU-0") == "1000 MiB in use after the end of job 1"
    assert ordered(desk, ResumeGpus(CAROL, ("0",))) == Kept("gpu0")
    assert kept(desk, Base) == [Base("GPU-0", 1000, CAROL)]
    look(desk, replace(a_gpu(0, 20000), used=1000), after=1)
    assert in_use(desk) == [0]
    assert dirt(desk.world, "GPU-0") == ""


def test_what_is_accepted_holds_for_later_jobs_and_after_a_restart() -> None:
    desk = after_a_job()
    ordered(desk, ResumeGpus(CAROL, ("0",)))
    desk.submit(a_spec(1, 5000))
    desk.run()
    desk.launched(2)
    old = desk.world
    desk.world = World(
        old.policy,
        old.inventory,
        jobs=old.jobs.values(),
        next_id=old.next_id,
        next_seq=old.next_seq,
        records=old.records.everything(),
    )
    desk.end(2)
    look(desk, replace(a_gpu(0, 20000), used=1065), after=1)
    assert state(desk) == "cleaning", "what is more than that is not accepted"
    look(desk, replace(a_gpu(0, 20000), used=1064), after=1)
    assert state(desk) == "available"
    forget_boot(desk.world)
    assert kept(desk, Base) == []


def test_a_process_that_a_job_left_is_not_accepted() -> None:
    desk = after_a_job(Process(77, 800, 1000, 1, 5))
    assert refused(desk, ResumeGpus(CAROL, ("0",))) == "gpu0 is dirty: pid 77 of job 1 still there"
    assert kept(desk, Base) == []


def with_a_stuck_job() -> Desk:
    """SIGKILL did not end two processes of job 1, which has gpu0; job 2 waits for it."""
    desk = Desk(20000)
    for _ in range(2):
        desk.submit(replace(a_spec(), time_limit=60))
    desk.run()
    desk.launched(1)
    assert 2 in forecast(desk.world, desk.now, {2})
    assert desk.world.stick((1, 1), (78, 79))
    desk.run()
    return desk


def test_what_cannot_be_killed_makes_the_gpu_dirty_until_it_is_gone() -> None:
    desk = with_a_stuck_job()
    why = "pid 78, pid 79 of job 1 cannot be killed"
    assert (state(desk), dirt(desk.world, "GPU-0")) == ("dirty", why)
    assert notes.shown(desk.world, desk.job(1)) == "pid 78, pid 79 cannot be killed"
    assert forecast(desk.world, desk.now, {2}) == {}, "nobody knows when"
    assert refused(desk, ResumeGpus(CAROL, ("0",))) == f"gpu0 is dirty: {why}"
    desk.end(1)
    desk.run()
    assert state(desk) == "available"
    assert desk.job(2).gpus == ("GPU-0",)


def test_what_cannot_be_killed_is_told_of_once_and_of_its_attempt_alone() -> None:
    desk = with_a_stuck_job()
    assert not desk.world.stick((1, 1), (78, 79))
    assert not desk.world.stick((1, 2), (80,))
    assert not desk.world.stick((7, 1), (80,))
    assert desk.world.stick((1, 1), ())
    assert (state(desk), dirt(desk.world, "GPU-0")) == ("available", "")
    assert notes.shown(desk.world, desk.job(1)) == ""


def test_a_gpu_that_is_drained_and_dirty_is_resumed_twice() -> None:
    desk = after_a_job()
    ordered(desk, DrainGpus(CAROL, ("0",), "new fans"))
    note = "gpu0 is still dirty: 1000 MiB in use after the end of job 1"
    assert ordered(desk, ResumeGpus(CAROL, ("0",))) == Kept("gpu0", note)
    ordered(desk, ResumeGpus(CAROL, ("0",)))
    assert in_use(desk) == [0]


def test_what_is_only_being_cleaned_up_is_not_resumed() -> None:
    desk = after_a_job()
    desk.world.set_policy(replace(desk.world.policy, cleaning_limit=100.0))
    look(desk, replace(a_gpu(0, 20000), used=1000), after=1)
    assert refused(desk, ResumeGpus(CAROL, ("0",))) == "gpu0 is not drained"
