"""Why a job waits: the reason and the figures, word for word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.explain import needs
from mgpu.core.placement import Need
from mgpu.core.policy import Policy
from mgpu.core.requests import AttemptRefused
from mgpu.model.gpu import Inventory
from mgpu.model.states import Reason
from mgpu.testing.builders import Desk, a_gpu, a_spec


def blocked(desk: Desk, number: int) -> tuple[str, str]:
    desk.run()
    return desk.reason(number)


def test_memory_that_jobs_and_outsiders_hold() -> None:
    desk = Desk(24576, 22528, 24576)
    desk.set_gpu(2, outside=20000)
    desk.submit(a_spec(1, 1))
    desk.submit(a_spec(1, 23551), priority=9)
    big = desk.submit(a_spec(2, 20480))
    desk.cancel(1)
    assert blocked(desk, big) == (
        Reason.RESOURCES,
        "needs 2 GPUs with 20480 MiB each; free: gpu1 (22528 MiB); "
        "gpu0 (1025 MiB left) held by job 2, gpu2 taken by processes outside mgpu",
    )


def test_a_gpu_that_its_jobs_do_not_share() -> None:
    desk = Desk(1000)
    desk.submit()
    assert blocked(desk, desk.submit(a_spec(1, 600))) == (
        Reason.RESOURCES,
        "needs 1 GPU with 600 MiB; free: none; gpu0 held by job 1",
    )


def test_gpus_for_itself() -> None:
    desk = Desk(1000, 1000, 1000)
    desk.set_gpu(1, outside=600)
    desk.submit(a_spec(1, 100), count=5)
    assert blocked(desk, desk.submit(a_spec(2))) == (
        Reason.RESOURCES,
        "needs 2 GPUs for itself; free: gpu2; gpu0 held by job 5, "
        "gpu1 held by jobs 1, 2, 3 and 1 more and by processes outside mgpu",
    )


def test_many_holders_are_counted() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(1, 100), count=5)
    assert blocked(desk, desk.submit(a_spec(1, 900, exclusive=True))) == (
        Reason.RESOURCES,
        "needs 1 GPU with 900 MiB for itself; free: none; gpu0 held by jobs 1, 2, 3 and 2 more",
    )


def test_three_holders_are_all_named() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(1, 300), count=4)
    assert blocked(desk, 4)[1].endswith("gpu0 (100 MiB left) held by jobs 1, 2, 3")


def test_outsiders_alone() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(1, 600))
    desk.set_gpu(0, outside=500)
    assert blocked(desk, 1) == (
        Reason.RESOURCES,
        "needs 1 GPU with 600 MiB; free: none; gpu0 taken by processes outside mgpu",
    )


def cleaned_up(desk: Desk, *, used: int, looked: bool) -> str:
    """Why job 2 waits for gpu0, of which job 1 has just ended."""
    desk.set_gpus(a_gpu(0, 1000))
    desk.submit()
    desk.run()
    desk.launched(1)
    desk.end(1)
    if looked:
        desk.wait(1)
        gpu = replace(a_gpu(0, 1000, outside=used), used=used)
        desk.world.set_inventory(Inventory("nvml", (gpu,), taken=desk.now.boot))
    reason, text = blocked(desk, desk.submit())
    assert reason == Reason.RESOURCES
    return text


def test_a_gpu_that_is_being_cleaned_up_is_not_said_to_be_taken_by_others() -> None:
    begin = "needs 1 GPU for itself; free: none; gpu0 soon: "
    policy = Policy(cleaning=True, unmanaged_ignore=100)
    ended = cleaned_up(Desk(1000, policy=policy), used=700, looked=False)
    assert ended == f"{begin}job 1 has just ended"
    looked = cleaned_up(Desk(1000, policy=policy), used=700, looked=True)
    assert looked == f"{begin}700 MiB in use after the end of job 1"


def test_free_memory_is_never_shown_below_zero() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(1, 600), count=2)
    desk.run()
    desk.set_gpu(0, outside=500)
    assert blocked(desk, 2)[1].endswith("gpu0 (0 MiB left) held by job 1")


def test_gpus_that_are_gone_or_too_small() -> None:
    desk = Desk(1000, 2000, 2000, 2000, policy=Policy(margin=100))
    desk.submit(a_spec(3, 1500))
    desk.set_gpu(1, available=False, note="fell off the bus")
    desk.set_gpu(2, available=False)
    assert blocked(desk, 1) == (
        Reason.GPU_NOT_AVAILABLE,
        "needs 3 GPUs with 1500 MiB each; this machine has 1 that can be used "
        "(gpu0 has 900 MiB in all, gpu1 not available: fell off the bus, gpu2 not available)",
    )


def test_gpus_that_no_longer_exist() -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec(2))
    desk.keep_gpus(1)
    assert blocked(desk, 1) == (
        Reason.GPU_NOT_AVAILABLE,
        "needs 2 GPUs for itself; this machine has 1 that can be used",
    )


def test_a_gpu_that_is_no_good_is_named_among_those_that_are_held() -> None:
    desk = Desk(1000, 500)
    desk.submit(a_spec(1, 600), count=2)
    assert blocked(desk, 2)[1].endswith(
        "gpu0 (400 MiB left) held by job 1, gpu1 has 500 MiB in all"
    )


def test_behind_the_first_one_with_the_own_shortage() -> None:
    desk = Desk(1000)
    desk.submit(count=3)
    desk.run()
    shortage = "needs 1 GPU for itself; free: none; gpu0 held by job 1"
    assert desk.reason(2) == (Reason.RESOURCES, shortage)
    assert desk.reason(3) == (Reason.PRIORITY, f"behind job 2; {shortage}")


@pytest.mark.parametrize(
    ("runs", "asks", "text"),
    [
        (90, 200, "gets gpu0, gpu1 in 1:21 at the latest; this job may run 3:20"),
        (90, None, "gets gpu0, gpu1 in 1:21 at the latest; this job has no time limit"),
        (
            None,
            None,
            "gets gpu0, gpu1 when job 1 ends, which has no time limit; this job has no time limit",
        ),
    ],
)
def test_a_job_that_would_fit_leaves_the_place_to_the_first_one(
    runs: int | None, asks: int | None, text: str
) -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec(1, limit=runs))
    desk.run()
    desk.submit(a_spec(2))
    last = desk.submit(a_spec(1, limit=asks))
    desk.wait(9.5)
    assert blocked(desk, last) == (Reason.PRIORITY, f"behind job 2, which {text}")


def test_a_reservation_that_is_overdue_is_due_in_0_seconds() -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec(1, limit=10))
    desk.run()
    desk.submit(a_spec(2))
    desk.submit()
    desk.run()
    desk.wait(20)
    assert "gpu1 in 0:00 at the latest" in desk.reason(3)[1]


def test_a_job_that_waits_for_others_to_leave_is_behind_nobody() -> None:
    desk = Desk(1000, 1000)
    desk.submit()
    desk.run()
    desk.set_gpu(1, outside=900)
    two = desk.submit(a_spec(2), count=2)
    reason = (
        Reason.RESOURCES,
        "needs 2 GPUs for itself; free: none; "
        "gpu0 held by job 1, gpu1 taken by processes outside mgpu",
    )
    assert [blocked(desk, two), blocked(desk, two + 1)] == [reason, reason]


def test_jobs_without_gpus_that_are_too_many() -> None:
    desk = Desk(policy=Policy(max_gpuless=2))
    desk.submit(a_spec(0), count=3)
    assert blocked(desk, 3) == (Reason.RESOURCES, "2 jobs without GPUs run, at most 2 may")


def test_a_back_off_says_what_failed_and_when_it_is_over() -> None:
    desk = Desk(1000)
    desk.submit()
    desk.run()
    desk.report(AttemptRefused, 1, "fork", 11, "", True)
    desk.wait(0.5)
    assert desk.reason(1) == (
        Reason.BEGIN_TIME,
        "start failed: fork: EAGAIN (retry 1 of 5); next try in 0:01",
    )


def test_an_account_that_may_not_run_jobs() -> None:
    desk = Desk(1000)
    desk.submit()
    desk.run()
    desk.report(AttemptRefused, 1, "account", 0, "account u has expired", True)
    assert desk.reason(1) == (
        Reason.INVALID_ACCOUNT,
        "account u has expired; next try in 0:01",
    )


def test_a_job_that_is_about_to_start() -> None:
    desk = Desk(1000)
    desk.submit()
    assert desk.reason(1) == (Reason.NONE, "starts with the next pass")
    desk.run()
    assert desk.reason(1) == ("", "")


def test_a_shortage_is_described_once_per_shape() -> None:
    desk = Desk(1000)
    desk.submit(count=3)
    desk.run()
    assert desk.reason(2)[1] is desk.reason(2)[1]
    assert desk.world.outlook is not None
    assert len(desk.world.outlook.texts) == 1


@pytest.mark.parametrize(
    ("need", "words"),
    [
        (Need(1, 8000, shares=True), "1 GPU with 8000 MiB"),
        (Need(2, 8000, shares=True), "2 GPUs with 8000 MiB each"),
        (Need(2, 8000, shares=False), "2 GPUs with 8000 MiB each for itself"),
        (Need(1, None, shares=False), "1 GPU for itself"),
    ],
)
def test_needs_in_words(need: Need, words: str) -> None:
    assert needs(need) == words
