"""Quotas: whom they bind, what they count, and what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core import quotas
from mgpu.core.orders import RemoveQuota, SetQuota
from mgpu.core.policy import Policy
from mgpu.core.requests import Submit
from mgpu.core.settle import next_deadline, settle
from mgpu.core.tally import Load, Owner, Tally, memory_of, owner_of
from mgpu.model.errors import MgpuError
from mgpu.model.events import Recorded, Started
from mgpu.model.job import JobSpec
from mgpu.model.records import Membership, Quota, Spending
from mgpu.model.states import Reason
from mgpu.testing.builders import EPOCH, UID, Desk, a_spec

ADA = Owner(UID, "u1000", "vision")
HOUR = 3600
ABOVE = "more than the bound: it cannot start"
ADMIN = 7


def bound(desk: Desk, subject: str, **bounds: float | None) -> None:
    """Set a quota."""
    desk.ask(SetQuota(ADMIN, subject, bounds))


def started(desk: Desk, *gpus: int, uid: int = UID, spec: JobSpec | None = None) -> int:
    """A job that runs on these GPUs."""
    job = desk.submit(spec or a_spec(len(gpus)), uid=uid)
    desk.apply(Started(desk.now, job, 1, tuple(f"GPU-{index}" for index in gpus)))
    desk.launched(job)
    return job


def blocked(desk: Desk, gpus: int = 1, memory: int = 0, owner: Owner = ADA) -> str:
    found = quotas.blocking(desk.world, desk.now, owner, gpus, memory, Tally())
    return ": ".join(found) if found else ""


# -- whom they bind --------------------------------------------------------------------------------


def test_a_machine_without_quotas_bounds_nobody() -> None:
    assert blocked(Desk(8)) == ""


@pytest.mark.parametrize(
    ("set_", "owner", "binding"),
    [
        (["user:u1000"], ADA, ["user:u1000"]),
        (["user:u1001"], ADA, []),
        (["default:user"], ADA, ["user:u1000"]),
        (["group:lab", "group:staff"], ADA, ["group:lab"]),
        (["project:vision", "project:speech"], ADA, ["project:vision"]),
        (["default:project"], ADA, ["project:vision"]),
        (["default:project"], ADA._replace(project=""), []),
        (["default:user", "group:lab", "default:project"], ADA,
         ["user:u1000", "group:lab", "project:vision"]),
    ],
)  # fmt: skip
def test_whom_a_quota_binds(set_: list[str], owner: Owner, binding: list[str]) -> None:
    desk = Desk(8)
    for subject in set_:
        bound(desk, subject, running_jobs=1)
    found = quotas.bounds(desk.world, owner, ("lab",))
    assert [subject for subject, _ in found] == binding


def test_who_has_a_quota_is_not_bound_by_the_default() -> None:
    desk = Desk(8)
    bound(desk, "default:user", running_gpus=0)
    have = "QuotaGpus: user u1000: 0 of at most 0 GPUs held"
    assert blocked(desk) == f"{have}; this job needs 1, {ABOVE}"
    bound(desk, "user:u1000", running_jobs=5)
    assert blocked(desk) == ""


# -- what runs -------------------------------------------------------------------------------------


def test_gpus_are_counted() -> None:
    desk = Desk(8, 8, 8, 8)
    bound(desk, "user:u1000", running_gpus=3)
    started(desk, 0, 1)
    started(desk, 2, uid=1001)
    assert blocked(desk, 1) == ""
    assert blocked(desk, 2) == "QuotaGpus: user u1000: 2 of at most 3 GPUs held; this job needs 2"
    assert blocked(desk, 0) == ""


def test_jobs_are_counted() -> None:
    desk = Desk(8, 8)
    bound(desk, "project:vision", running_jobs=1)
    job = started(desk, 0, spec=replace(a_spec(), project="vision"))
    assert blocked(desk, 0) == "QuotaJobs: project vision: 1 of at most 1 jobs run"
    assert blocked(desk, owner=ADA._replace(project="speech")) == ""
    desk.end(job)
    assert blocked(desk, 0) == ""


def test_memory_is_what_shared_jobs_reserve_and_whole_gpus() -> None:
    desk = Desk(8000, 16000)
    bound(desk, "user:u1000", gpu_memory=10000)
    started(desk, 0, spec=a_spec(1, 1500))
    started(desk, 1, spec=a_spec(1, 1000, exclusive=True))
    assert desk.world.tally.load(lambda _: True) == Load(2, 2, 17500)
    text = blocked(desk, 1, 500)
    have = "QuotaGpuMemory: user u1000: 17500 of at most 10000 MiB held"
    assert text == f"{have}; this job needs 500 MiB"


@pytest.mark.parametrize(
    ("spec", "least", "on_all"),
    [
        (a_spec(2, 3000), 6000, 6000),
        (a_spec(2), 16000, 24000),
        (a_spec(1, 9000, exclusive=True), 16000, 24000),
        (a_spec(0), 0, 24000),
    ],
)
def test_the_memory_of_a_job(spec: JobSpec, least: int, on_all: int) -> None:
    desk = Desk(8000, 8000, 16000)
    assert quotas.least_memory(desk.world, spec) == least
    assert quotas.memory_on(desk.world, spec, ("GPU-0", "GPU-2")) == on_all


def test_the_starts_of_a_pass_count() -> None:
    desk = Desk(8, 8)
    bound(desk, "user:u1000", running_gpus=1)
    starts = Tally()
    starts.take(desk.job(desk.submit(replace(a_spec(), project="vision"))), 8)
    found = quotas.blocking(desk.world, desk.now, ADA, 1, 8, starts)
    assert found is not None
    assert found[0] == Reason.QUOTA_GPUS


def test_members_of_a_group_are_counted_together() -> None:
    desk = Desk(8, 8, 8)
    bound(desk, "group:lab", running_gpus=2)
    for uid in (UID, 1001):
        started(desk, uid - UID, uid=uid)
    for uid in (UID, 1001):
        desk.apply(Recorded(desk.now, 0, Membership(uid, ("lab",))))
    assert blocked(desk) == "QuotaGpus: group lab: 2 of at most 2 GPUs held; this job needs 1"
    assert blocked(desk, owner=Owner(1002, "u1002", "")) == ""


def test_gpus_that_are_found_later_count_with_their_size() -> None:
    desk = Desk(8000)
    started(desk, 0)
    desk.keep_gpus(0)
    assert desk.world.tally.load(lambda _: True).memory == 0
    desk.world.set_inventory(Desk(9000).inventory())
    assert desk.world.tally.load(lambda _: True).memory == 9000


def test_a_job_does_not_get_a_gpu_larger_than_its_quota() -> None:
    desk = Desk(8000, 16000)
    bound(desk, "user:u1000", gpu_memory=9000)
    started(desk, 0, uid=1001)
    job = desk.submit()
    assert desk.run() == {}
    assert desk.reason(job) == (
        Reason.QUOTA_MEMORY,
        "user u1000: 0 of at most 9000 MiB held; this job needs 16000 MiB, " + ABOVE,
    )
    desk.cancel(1, uid=1001)
    desk.end(1, signal=15, cause="cancel")
    assert desk.run() == {job: (0,)}


def test_a_smaller_gpu_is_taken_where_a_quota_forbids_the_larger() -> None:
    desk = Desk(9000, 4000, policy=Policy(placement="sequential"))
    bound(desk, "user:u1000", gpu_memory=4000)
    number = desk.submit(a_spec())
    assert desk.run() == {number: (1,)}


def test_others_go_on_behind_a_job_that_waits_for_a_quota() -> None:
    desk = Desk(8, 8)
    bound(desk, "default:user", running_gpus=1)
    first, second = desk.submit(), desk.submit()
    other = desk.submit(uid=1001)
    assert set(desk.run()) == {first, other}
    assert desk.reason(second)[0] == Reason.QUOTA_GPUS


# -- what waits ------------------------------------------------------------------------------------


def submit(desk: Desk, count: int = 1, *, groups: tuple[str, ...] = (), uid: int = UID) -> None:
    desk.ask(Submit(uid, f"u{uid}", a_spec(), count=count, groups=groups))


def test_over_the_queue_s_bound_a_submission_is_refused() -> None:
    desk = Desk(8)
    bound(desk, "default:user", queued_jobs=3)
    submit(desk, 2)
    with pytest.raises(MgpuError) as caught:
        submit(desk, 2)
    assert (caught.value.code, caught.value.message) == (
        "LimitReached",
        "user u1000: 2 of at most 3 queued jobs wait; 2 more are too many",
    )
    submit(desk, 3, uid=1001)
    started(desk, 0)
    submit(desk)


def test_groups_count_from_the_submission_that_shows_them() -> None:
    desk = Desk(8)
    bound(desk, "group:lab", queued_jobs=2)
    submit(desk, 2, uid=1001)
    with pytest.raises(MgpuError, match="group lab: 2 of at most 2"):
        submit(desk, 1, uid=1001, groups=("lab",))
    submit(desk, 2, groups=("lab",))
    with pytest.raises(MgpuError, match="group lab: 2 of at most 2"):
        submit(desk, groups=("lab",), uid=1002)


# -- GPU-hours -------------------------------------------------------------------------------------


def test_no_job_starts_when_the_hours_are_used_up() -> None:
    desk = Desk(8, 8)
    bound(desk, "user:u1000", gpu_hours=3, period=10 * HOUR)
    job = started(desk, 0, 1)
    desk.wait(HOUR)
    assert blocked(desk) == ""
    desk.wait(HOUR / 2)
    text = "QuotaGpuHours: user u1000: 3.0 of at most 3 GPU-hours used; counted anew in 8:30:00"
    assert blocked(desk) == text
    assert blocked(desk, 0) == "", "jobs without GPUs use none"
    desk.end(job)
    assert desk.world.records.all(Spending) == [Spending("user:u1000", EPOCH, 3.0 * HOUR)]
    assert blocked(desk) == text


def test_hours_are_counted_anew_in_the_next_period() -> None:
    desk = Desk(8)
    bound(desk, "default:user", gpu_hours=1, period=2 * HOUR)
    started(desk, 0)
    desk.wait(1.5 * HOUR)
    assert blocked(desk).startswith("QuotaGpuHours: user u1000: 1.5 of at most 1")
    desk.wait(0.75 * HOUR)
    assert blocked(desk) == "", "of what runs the part in this period counts"
    desk.wait(HOUR)
    assert blocked(desk).startswith("QuotaGpuHours: user u1000: 1.2 of at most 1")


def test_what_ended_in_an_earlier_period_is_forgotten() -> None:
    desk = Desk(8)
    bound(desk, "user:u1000", gpu_hours=1, period=2 * HOUR)
    job = started(desk, 0)
    desk.wait(3 * HOUR)
    desk.end(job)
    assert desk.world.records.all(Spending) == [Spending("user:u1000", EPOCH + 2 * HOUR, HOUR)]
    desk.wait(HOUR)
    assert blocked(desk) == ""


def test_the_scheduler_wakes_for_the_next_period() -> None:
    desk = Desk(8)
    bound(desk, "user:u1000", gpu_hours=1, period=HOUR)
    desk.wait(HOUR - 20)
    assert settle(desk.world, desk.now) == []
    assert next_deadline(desk.world) == pytest.approx(desk.now.boot + 20)
    bound(desk, "user:u1000", gpu_hours=None)
    assert settle(desk.world, desk.now) == []
    assert next_deadline(desk.world) is None


# -- orders ----------------------------------------------------------------------------------------


def test_bounds_that_are_not_named_stay() -> None:
    desk = Desk(8)
    bound(desk, "user:ada", running_gpus=4, gpu_hours=10)
    desk.wait(100)
    bound(desk, "user:ada", running_gpus=None, queued_jobs=7)
    assert desk.world.records.all(Quota) == [
        Quota("user:ada", queued_jobs=7, gpu_hours=10, since=EPOCH)
    ]
    bound(desk, "user:ada", period=HOUR)
    (quota,) = desk.world.records.all(Quota)
    assert quota.since == EPOCH + 100, "another period begins now"


def test_a_quota_is_removed_with_what_was_counted() -> None:
    desk = Desk(8)
    bound(desk, "user:u1000", gpu_hours=1)
    job = started(desk, 0)
    desk.wait(10)
    desk.end(job)
    desk.ask(RemoveQuota(ADMIN, "user:u1000"))
    assert not desk.world.records.all(Quota)
    assert not desk.world.records.all(Spending)
    with pytest.raises(MgpuError, match='there is no quota of "user:u1000"'):
        desk.ask(RemoveQuota(ADMIN, "user:u1000"))


# -- the tally -------------------------------------------------------------------------------------


def test_the_tally_forgets_who_has_nothing() -> None:
    desk = Desk(8)
    job = started(desk, 0)
    owner = owner_of(desk.job(job))
    assert desk.world.tally.running == {owner: Load(1, 1, 8)}
    desk.end(job)
    assert (desk.world.tally.running, desk.world.tally.queued) == ({}, {})


def test_memory_of_an_exclusive_job_is_the_whole_gpu() -> None:
    assert memory_of(a_spec(1, 4, exclusive=True), [16]) == 16


@pytest.mark.parametrize("nothing", [{}, {"period": HOUR}])
def test_an_order_without_a_bound_exempts_nobody(nothing: dict[str, float | None]) -> None:
    desk = Desk(8)
    bound(desk, "default:user", running_gpus=1)
    with pytest.raises(MgpuError):
        bound(desk, "user:u1000", **nothing)
    assert [who for who, _ in quotas.bounds(desk.world, ADA, ())] == ["user:u1000"]
    assert desk.world.records.get(Quota, "user:u1000") is None


def test_a_bound_that_is_lifted_by_name_exempts_from_the_default() -> None:
    desk = Desk(8)
    bound(desk, "default:user", running_gpus=0)
    bound(desk, "user:u1000", running_gpus=None)
    assert blocked(desk) == ""
