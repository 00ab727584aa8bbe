"""CPUs and memory of the machine: promised to the jobs that name some, and only to those."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.placement import Host, Need
from mgpu.core.policy import Policy, QosClass
from mgpu.core.schedule import outlook
from mgpu.model.states import Reason
from mgpu.testing.builders import Desk, a_spec

POLICY = Policy(cpus=8, host_memory=1000, max_gpuless=3)


@pytest.fixture
def desk() -> Desk:
    return Desk(*[1000] * 4, policy=POLICY)


def test_what_is_taken_can_be_given_back() -> None:
    host = Host(8, 1000)
    need = Need(0, None, shares=False, cpus=5, host_mem=600)
    assert host.fits(need)
    host.take(need)
    twin = host.copy()
    assert not host.fits(need)
    assert host.fits(Need(1, None, shares=False, cpus=3, host_mem=400))
    host.give(need)
    assert (host.cpus, host.mem, twin.cpus, twin.mem) == (8, 1000, 3, 400)


def test_a_job_that_names_none_fits_on_a_machine_that_is_full() -> None:
    host = Host(8, 1000)
    host.take(Need(0, None, shares=False, cpus=9, host_mem=1001))
    assert host.fits(Need(1, None, shares=False))


def test_jobs_wait_for_cpus_and_say_so(desk: Desk) -> None:
    desk.submit(a_spec(cpus=6))
    second = desk.submit(a_spec(cpus=3, host_mem=10))
    third = desk.submit(a_spec())
    assert desk.run() == {1: (0,), third: (1,)}
    assert desk.reason(second) == (Reason.RESOURCES, "needs 3 CPUs; 2 of 8 are free")
    desk.end(1)
    assert desk.run() == {second: (0,)}


def test_jobs_wait_for_memory_of_the_machine(desk: Desk) -> None:
    desk.submit(a_spec(0, host_mem=900, cpus=8))
    both = desk.submit(a_spec(0, host_mem=200, cpus=1))
    assert desk.run() == {1: ()}
    assert desk.reason(both) == (
        Reason.RESOURCES,
        "needs 1 CPU; 0 of 8 are free; needs 200 MiB of host memory; 100 of 1000 are free",
    )


def test_a_job_that_lacks_gpus_and_cpus_names_both(desk: Desk) -> None:
    desk.submit(a_spec(4, cpus=8))
    other = desk.submit(a_spec(1, 100, cpus=1))
    desk.run()
    assert desk.reason(other)[1].endswith("gpu3 held by job 1; needs 1 CPU; 0 of 8 are free")


def test_who_names_none_lacks_none_where_too_many_are_promised(desk: Desk) -> None:
    desk.submit(a_spec(4, cpus=8, host_mem=1000))
    other = desk.submit(a_spec(1))
    desk.run()
    desk.world.policy, desk.world.outlook = replace(POLICY, cpus=4, host_memory=500), None
    assert desk.reason(other)[1].endswith("gpu3 held by job 1")


def test_jobs_without_gpus_have_a_bound_as_well(desk: Desk) -> None:
    desk.submit(a_spec(0, cpus=1), count=4)
    assert len(desk.run()) == 3
    assert desk.reason(4) == (Reason.RESOURCES, "3 jobs without GPUs run, at most 3 may")
    assert outlook(desk.world, desk.now).reservation is None


def test_a_job_that_waits_for_cpus_is_not_starved_by_small_ones(desk: Desk) -> None:
    desk.submit(a_spec(1, cpus=2, limit=100))
    big = desk.submit(a_spec(1, cpus=8))
    late, soon = desk.submit(a_spec(1, cpus=1, limit=101)), desk.submit(a_spec(1, cpus=1, limit=99))
    none = desk.submit(a_spec(1))
    assert desk.run() == {1: (0,), soon: (1,), none: (2,)}
    assert desk.reason(big) == (Reason.RESOURCES, "needs 8 CPUs; 5 of 8 are free")
    assert desk.reason(late)[1].startswith(f"behind job {big}, which gets gpu0 in 1:40 at the")
    desk.wait(100)
    desk.end(1)
    desk.end(soon)
    assert desk.run() == {big: (0,)}


def test_a_job_without_gpus_that_waits_for_cpus_is_not_starved_either(desk: Desk) -> None:
    desk.submit(a_spec(1, cpus=2, limit=100))
    big = desk.submit(a_spec(0, cpus=8))
    late = desk.submit(a_spec(0, cpus=1))
    assert desk.run() == {1: (0,)}
    assert desk.reason(late)[1].startswith(f"behind job {big}, which gets its place in 1:40")


def test_where_the_rest_is_enough_others_go_beside_the_reserved_job(desk: Desk) -> None:
    desk.submit(a_spec(1, cpus=5, limit=100))
    big = desk.submit(a_spec(1, cpus=6))
    beside, too_many = desk.submit(a_spec(1, cpus=2)), desk.submit(a_spec(1, cpus=1))
    assert desk.run() == {1: (0,), beside: (1,)}
    assert big in desk.world.jobs
    assert desk.reason(too_many)[0] == Reason.PRIORITY


def test_what_is_promised_is_remembered_over_a_restart(desk: Desk) -> None:
    desk.submit(a_spec(cpus=6, host_mem=300))
    desk.run()
    assert (desk.world.ledger.cpus, desk.world.ledger.host_mem) == (6, 300)
    desk.launched(1)
    desk.end(1)
    assert (desk.world.ledger.cpus, desk.world.ledger.host_mem) == (0, 0)


CLASSES = {"": QosClass("normal"), "idle": QosClass("idle", -10, preemptible=True, min_run=0)}


def test_jobs_of_a_lower_class_leave_for_cpus(desk: Desk) -> None:
    desk = Desk(*[1000] * 4, policy=replace(POLICY, classes=CLASSES))
    desk.submit(replace(a_spec(1, cpus=3), qos="idle"))
    desk.submit(replace(a_spec(1), qos="idle"))
    desk.submit(replace(a_spec(0, cpus=4), qos="idle"))
    desk.run()
    desk.launched(1, 2, 3)
    desk.submit(a_spec(1, cpus=4))
    desk.wait(10)
    desk.run()
    assert [desk.job(n).state for n in (1, 2, 3)] == ["COMPLETING", "RUNNING", "RUNNING"]


def test_nobody_leaves_where_the_cpus_would_not_suffice(desk: Desk) -> None:
    desk = Desk(*[1000] * 4, policy=replace(POLICY, classes=CLASSES))
    desk.submit(replace(a_spec(1, cpus=2), qos="idle"))
    desk.submit(a_spec(0, cpus=6))
    desk.run()
    desk.launched(1, 2)
    desk.submit(a_spec(4, cpus=4))
    desk.wait(10)
    desk.run()
    assert desk.job(1).state == "RUNNING"


def test_nobody_leaves_who_has_none_of_what_is_short() -> None:
    desk = Desk(*[1000] * 4, policy=replace(POLICY, classes=CLASSES))
    desk.submit(replace(a_spec(1, host_mem=100), qos="idle"))
    desk.submit(replace(a_spec(2, cpus=8), qos="idle"))
    desk.run()
    desk.launched(1, 2)
    desk.submit(a_spec(1, cpus=4, host_mem=100))
    desk.wait(10)
    desk.run()
    assert [desk.job(n).state for n in (1, 2)] == ["RUNNING", "COMPLETING"]


def test_whose_gpus_are_not_needed_may_leave_for_cpus() -> None:
    desk = Desk(2000, 1000, 1000, 1000, policy=replace(POLICY, classes=CLASSES))
    desk.submit(replace(a_spec(1, 2000, cpus=8), qos="idle"))
    desk.submit(replace(a_spec(3), qos="idle"))
    desk.run()
    desk.launched(1, 2)
    desk.submit(a_spec(3, 1000, exclusive=True, cpus=8))  # the three small ones
    desk.wait(10)
    desk.run()
    assert [desk.job(n).state for n in (1, 2)] == ["COMPLETING", "COMPLETING"]
