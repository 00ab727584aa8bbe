"""Where a job fits: sharing, having GPUs alone, and which GPUs are taken first."""

from __future__ import annotations

import pytest

from mgpu.core.ledger import Ledger
from mgpu.core.placement import Need, Room, choose, fits, large_enough, need_of, would_fit
from mgpu.core.policy import Policy, effective_limit
from mgpu.model.job import Starting
from mgpu.testing.builders import a_gpu, a_job, a_spec, at

SHARES = Need(1, 8000, shares=True)
ALONE = Need(1, None, shares=False)
ALONE_WITH_MEMORY = Need(1, 8000, shares=False)


def room(index: int = 0, usable: int = 16000, outside: int = 0, *, quiet: bool = True) -> Room:
    return Room(f"GPU-{index}", index, usable, outside, available=True, quiet=quiet)


def test_what_a_spec_needs() -> None:
    assert need_of(a_spec(2, 8000)) == Need(2, 8000, shares=True)
    assert need_of(a_spec(2)) == Need(2, None, shares=False)
    assert need_of(a_spec(2, 8000, exclusive=True)) == Need(2, 8000, shares=False)


@pytest.mark.parametrize("need", [SHARES, ALONE, ALONE_WITH_MEMORY])
def test_everything_fits_on_an_unused_gpu_until_it_is_not_available(need: Need) -> None:
    unused = room(usable=8000)
    assert fits(unused, need)
    unused.available = False
    assert not fits(unused, need)
    assert not would_fit(unused, need)


def test_a_sharing_job_fits_as_long_as_the_sum_fits() -> None:
    shared = room(usable=16000)
    shared.take(1, SHARES)
    assert fits(shared, SHARES)
    shared.take(2, SHARES)
    assert shared.free == 0
    assert not fits(shared, Need(1, 1, shares=True))
    assert fits(shared, Need(1, 0, shares=True))


def test_one_mib_too_little_is_too_little() -> None:
    assert not fits(room(usable=7999), SHARES)
    assert not fits(room(usable=7999), ALONE_WITH_MEMORY)


@pytest.mark.parametrize("need", [ALONE, ALONE_WITH_MEMORY])
def test_a_job_that_does_not_share_needs_a_gpu_without_jobs_and_keeps_others_away(
    need: Need,
) -> None:
    taken = room(usable=64000)
    taken.take(1, SHARES)
    assert not fits(taken, need)
    mine = room(usable=64000)
    mine.take(1, need)
    assert mine.alone
    assert not fits(mine, SHARES)
    assert not fits(mine, need)


def test_outsiders_are_subtracted_for_those_who_share_and_disturb_those_who_do_not() -> None:
    busy = room(usable=16000, outside=8000, quiet=False)
    assert fits(busy, SHARES)
    assert not fits(busy, Need(1, 8001, shares=True))
    assert not fits(busy, ALONE)
    assert not fits(busy, ALONE_WITH_MEMORY)


def test_outsiders_below_the_policy_s_bound_leave_a_gpu_unused_but_smaller() -> None:
    quiet = room(usable=8000, outside=100)
    assert fits(quiet, ALONE)
    assert not fits(quiet, ALONE_WITH_MEMORY)


def test_what_would_fit_without_the_jobs() -> None:
    full = room(usable=8000)
    full.take(1, ALONE)
    assert would_fit(full, SHARES)
    assert would_fit(full, ALONE)
    assert not would_fit(full, Need(1, 8001, shares=True))
    assert not would_fit(room(outside=9000, quiet=False), SHARES)
    assert would_fit(room(outside=8000, quiet=False), SHARES)
    assert not would_fit(room(outside=600, quiet=False), ALONE)


def test_how_large_a_gpu_has_to_be() -> None:
    assert large_enough(8000, SHARES)
    assert not large_enough(7999, SHARES)
    assert large_enough(0, ALONE)


def test_giving_back_undoes_taking() -> None:
    one = room(usable=16000)
    one.take(1, SHARES)
    one.take(2, Need(1, 100, shares=True))
    one.give(1)
    assert (one.free, one.jobs, one.alone) == (15900, {2: 100}, False)
    other = room(usable=16000)
    other.take(3, ALONE)
    other.give(3)
    assert (other.free, other.jobs, other.alone) == (16000, {}, False)


def test_what_is_measured_counts_where_it_is_more_than_what_was_promised() -> None:
    one = room(usable=16000)
    one.take(1, SHARES, measured=9000)
    one.take(2, Need(1, 100, shares=True), measured=7)
    assert one.free == 16000 - 9000 - 100
    one.give(1)
    assert one.free == 15900


def test_a_gpu_that_is_cleaned_up_can_take_nothing_yet() -> None:
    one = room(usable=16000)
    one.cleaning = True
    assert not fits(one, SHARES)
    assert one.copy().cleaning


def test_a_copy_is_filled_independently() -> None:
    one = room(3, usable=16000, outside=5, quiet=False)
    one.take(1, SHARES)
    twin = one.copy()
    assert all(getattr(twin, name) == getattr(one, name) for name in Room.__slots__)
    twin.take(2, ALONE_WITH_MEMORY)
    assert (one.free, one.jobs, one.alone) == (7995, {1: 8000}, False)
    assert (twin.free, twin.jobs, twin.alone) == (-5, {1: 8000, 2: 8000}, True)


def test_sharing_jobs_pack_where_it_is_tightest_and_ties_go_to_the_lowest_index() -> None:
    rooms = [room(0, 30000), room(1, 9000), room(2, 7000), room(3, 9000)]
    assert [r.index for r in choose(rooms, SHARES) or []] == [1]
    assert [r.index for r in choose(rooms, Need(2, 8000, shares=True)) or []] == [1, 3]
    assert [r.index for r in choose(rooms, Need(3, 8000, shares=True)) or []] == [0, 1, 3]
    assert choose(rooms, Need(4, 8000, shares=True)) is None


def test_chosen_gpus_come_in_index_order_whatever_the_tightness() -> None:
    rooms = [room(0, 9000), room(1, 8000)]
    assert [r.index for r in choose(rooms, Need(2, 8000, shares=True)) or []] == [0, 1]


def test_jobs_that_do_not_share_take_the_lowest_indices_or_the_smallest_that_are_large_enough() -> (
    None
):
    rooms = [room(0, 30000), room(1, 9000), room(2, 9000)]
    assert [r.index for r in choose(rooms, Need(2, None, shares=False)) or []] == [0, 1]
    assert [r.index for r in choose(rooms, ALONE_WITH_MEMORY) or []] == [1]


def test_no_gpus_are_found_anywhere() -> None:
    assert choose([], Need(0, None, shares=False)) == []


def test_a_job_that_must_fit_later_as_well_goes_only_where_it_does() -> None:
    rooms = [room(0, 9000), room(1, 9000)]
    later = {r.uuid: r.copy() for r in rooms}
    later["GPU-0"].take(1, SHARES)
    assert [r.index for r in choose(rooms, SHARES, later) or []] == [1]
    assert choose(rooms, Need(2, 8000, shares=True), later) is None


def test_a_room_is_made_of_the_gpu_the_policy_and_the_holders() -> None:
    ledger = Ledger()
    for number, mem in ((1, 4000), (2, 2000)):
        ledger.take(a_job(number, Starting(("GPU-0",), at(0)), a_spec(1, mem), attempt=1))
    made = ledger.room(a_gpu(0, 20000, outside=600), Policy(margin=1000, unmanaged_ignore=599))
    assert (made.usable, made.outside, made.free) == (19000, 600, 12400)
    assert (made.jobs, made.alone, made.quiet, made.available) == (
        {1: 4000, 2: 2000},
        False,
        False,
        True,
    )
    assert ledger.room(a_gpu(0, 20000, outside=600), Policy(unmanaged_ignore=600)).quiet
    assert ledger.reserved("GPU-0") == 6000
    assert ledger.reserved("GPU-1") == 0
    ledger.take(a_job(3, Starting(("GPU-1",), at(0)), a_spec(1), attempt=1))
    assert ledger.reserved("GPU-1") == 0


def test_the_ledger_forgets_a_gpu_when_its_last_job_gives_it_back() -> None:
    ledger = Ledger()
    one = a_job(1, Starting(("GPU-0", "GPU-1"), at(0)), a_spec(2, 100), attempt=1)
    two = a_job(2, Starting(("GPU-1",), at(0)), a_spec(1, 100), attempt=1)
    none = a_job(3, Starting((), at(0)), a_spec(0), attempt=1)
    for job in (one, two, none):
        ledger.take(job)
    assert (ledger.gpuless, list(ledger.on("GPU-1"))) == (1, [one, two])
    ledger.give(one)
    ledger.give(none)
    assert ledger.holders == {"GPU-1": {2: two}}
    assert ledger.gpuless == 0


def test_the_rules_where_nobody_decided() -> None:
    assert Policy() == Policy(
        max_job_time=0,
        grace=30,
        max_requeues=0,
        margin=0,
        unmanaged_ignore=512,
        max_pending_per_user=1000,
        max_user_priority=1000,
        start_retries=5,
        max_gpuless=64,
    )


@pytest.mark.parametrize(
    ("asked", "machine", "holds"),
    [(None, 0, 0), (60, 0, 60), (None, 60, 60), (60, 30, 30), (30, 60, 30)],
)
def test_the_smaller_limit_holds(asked: int | None, machine: int, holds: int) -> None:
    assert effective_limit(a_spec(limit=asked), Policy(max_job_time=machine)) == holds
