"""Reservations: which GPUs they have, who may use these, what follows when they begin and end."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mgpu.core import reservations
from mgpu.core.claims import Claim, barrier
from mgpu.core.orders import Reserve, Unreserve
from mgpu.core.reservations import claims, entitled
from mgpu.core.settle import next_deadline, settle
from mgpu.model.errors import MgpuError
from mgpu.model.events import Erased, Preempted, Recorded, Started
from mgpu.model.job import JobSpec, Stopping
from mgpu.model.records import Membership, Reservation
from mgpu.testing.builders import EPOCH, Desk, a_spec

HOUR = 3600
DAY = 86400
ADMIN = 7


def reserved(
    desk: Desk, number: int = 1, start: float = HOUR, length: int = HOUR, **known: object
) -> Reservation:
    """Keep a reservation for u1000 that begins ``start`` seconds from now."""
    values: dict[str, object] = {"users": ("u1000",)} | known
    one = Reservation(number, "", ADMIN, desk.now.wall + start, length, **values)  # type: ignore[arg-type]
    desk.apply(Recorded(desk.now, ADMIN, one))
    return one


def started(desk: Desk, *gpus: int, uid: int = 1001, spec: JobSpec | None = None) -> int:
    """A job that runs on these GPUs."""
    job = desk.submit(spec or a_spec(len(gpus)), uid=uid)
    desk.apply(Started(desk.now, job, 1, tuple(f"GPU-{index}" for index in gpus)))
    desk.launched(job)
    return job


def gpus_of(desk: Desk, number: int = 1) -> tuple[str, ...]:
    return reservations.derive(desk.world, desk.now).chosen[number]


def settled(desk: Desk) -> list[object]:
    """Settle the world; the events."""
    before = len(desk.log)
    while events := settle(desk.world, desk.now):
        desk.apply(*events)
    return list(desk.log[before:])


# -- who is meant ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "groups", "project", "found"),
    [
        ("ada", (), "", {1}),
        ("bob", ("lab", "staff"), "", {2}),
        ("bob", (), "vision", {3}),
        ("ada", ("lab",), "vision", {1, 2, 3}),
        ("bob", ("guests",), "speech", set()),
        ("bob", (), "", set()),
    ],
)
def test_a_reservation_is_for_users_groups_and_projects(
    user: str, groups: tuple[str, ...], project: str, found: set[int]
) -> None:
    desk = Desk(8, 8, 8, 8)
    reserved(desk, 1, users=("ada",), count=1)
    reserved(desk, 2, users=(), groups=("lab",), count=1)
    reserved(desk, 3, users=(), projects=("vision",), count=1)
    reserved(desk, 4, users=(), count=1)
    assert entitled(desk.world, user, groups, project) == found


# -- who may start ---------------------------------------------------------------------------------

LATER = Claim(100.0, 200.0, 1, preempt=False)
SWITCHES = Claim(100.0, 200.0, 2, preempt=True)


@pytest.mark.parametrize(
    ("claim", "now", "end", "requeue", "rights", "may"),
    [
        pytest.param(LATER, 0, 100, True, set(), True, id="over when it begins"),
        pytest.param(LATER, 0, 101, True, set(), False, id="not over when it begins"),
        pytest.param(LATER, 0, math.inf, True, set(), False, id="without a limit"),
        pytest.param(LATER, 0, math.inf, True, {1}, True, id="one of those whom it is for"),
        pytest.param(LATER, 0, 101, True, {2}, False, id="one of those whom another is for"),
        pytest.param(LATER, 150, 160, True, set(), False, id="inside"),
        pytest.param(LATER, 150, 300, True, {1}, True, id="inside, for them"),
        pytest.param(LATER, 200, 300, True, set(), True, id="afterwards"),
        pytest.param(SWITCHES, -200, math.inf, True, set(), True, id="will be switched out"),
        pytest.param(SWITCHES, -199, math.inf, True, set(), False, id="switched out too soon"),
        pytest.param(SWITCHES, 0, math.inf, False, set(), False, id="may not be switched out"),
        pytest.param(SWITCHES, 100, 120, True, set(), False, id="would be switched out at once"),
    ],
)
def test_who_may_start_on_a_reserved_gpu(
    claim: Claim, now: float, end: float, requeue: bool, rights: set[int], may: bool
) -> None:
    found = barrier((claim,), frozenset(rights), now, end, requeue=requeue)
    assert found == (None if may else claim)


# -- which GPUs a count means ----------------------------------------------------------------------


def test_an_idle_machine_gives_the_first_ones() -> None:
    desk = Desk(8, 8, 8)
    one = reserved(desk, count=2)
    assert gpus_of(desk) == ("GPU-0", "GPU-1")
    offset = desk.now.boot - desk.now.wall
    claim = Claim(one.start + offset, one.end + offset, 1, preempt=False)
    assert claims(desk.world, desk.now) == {"GPU-0": (claim,), "GPU-1": (claim,)}


def test_jobs_that_stay_are_in_the_way() -> None:
    desk = Desk(8, 8, 8, 8)
    started(desk, 0)
    started(desk, 1, spec=a_spec(limit=2 * HOUR))
    started(desk, 2, spec=a_spec(limit=HOUR))
    reserved(desk, count=3)
    assert gpus_of(desk) == ("GPU-2", "GPU-3", "GPU-1")


def test_jobs_that_can_be_switched_out_are_less_in_the_way() -> None:
    desk = Desk(8, 8, 8)
    started(desk, 0, spec=a_spec(limit=2 * HOUR, requeue=False))
    started(desk, 1)
    reserved(desk, count=2, preempt=True)
    assert gpus_of(desk) == ("GPU-2", "GPU-1")


def test_a_job_past_its_limit_is_in_the_way_until_it_has_gone() -> None:
    desk = Desk(8, 8)
    started(desk, 0, spec=a_spec(limit=60))
    desk.wait(70)
    reserved(desk, start=-5, count=1, preempt=True)
    assert gpus_of(desk) == ("GPU-1",)


def test_gpus_that_its_people_hold_count() -> None:
    desk = Desk(8, 8, 8)
    started(desk, 1, uid=1000)
    reserved(desk, count=2)
    assert gpus_of(desk) == ("GPU-1", "GPU-0")


def test_a_gpu_that_fails_is_replaced() -> None:
    desk = Desk(8, 8, 8)
    reserved(desk, count=1)
    desk.set_gpu(0, available=False)
    assert gpus_of(desk) == ("GPU-1",)


def test_named_gpus_stay_named() -> None:
    desk = Desk(8, 8, 8)
    started(desk, 0)
    reserved(desk, gpus=("GPU-0",))
    desk.set_gpu(0, available=False)
    assert gpus_of(desk) == ("GPU-0",)


def test_reservations_at_the_same_time_have_different_gpus() -> None:
    desk = Desk(8, 8, 8, 8)
    reserved(desk, 1, count=1)
    reserved(desk, 2, start=HOUR + 600, count=1)
    reserved(desk, 3, gpus=("GPU-0",))
    reserved(desk, 4, start=2 * HOUR, count=1)
    assert (gpus_of(desk, 3), gpus_of(desk, 1), gpus_of(desk, 2)) == (
        ("GPU-0",), ("GPU-1",), ("GPU-2",),
    )  # fmt: skip
    assert gpus_of(desk, 4) == ("GPU-0",), "the first one is over by then"


def test_one_that_disturbs_less_does_not_leave_another_short() -> None:
    """The first would rather have GPU-1, the only one that the second can have."""
    desk = Desk(8, 8)
    started(desk, 0)
    reserved(desk, 1, start=HOUR, length=HOUR, count=1)
    reserved(desk, 2, start=1.5 * HOUR, length=2 * HOUR, count=1)
    reserved(desk, 3, start=3 * HOUR, length=HOUR, gpus=("GPU-0",))
    assert (gpus_of(desk, 1), gpus_of(desk, 2)) == (("GPU-0",), ("GPU-1",))


def test_claims_are_derived_anew_only_when_something_changes() -> None:
    desk = Desk(8, 8)
    reserved(desk, count=1, start=HOUR)
    first = claims(desk.world, desk.now)
    desk.wait(30)
    assert claims(desk.world, desk.now) is first
    started(desk, 0)
    assert claims(desk.world, desk.now) is not first


def test_a_clock_that_is_set_moves_the_beginning() -> None:
    desk = Desk(8)
    reserved(desk, count=1, start=HOUR)
    (before,) = claims(desk.world, desk.now)["GPU-0"]
    desk.now = desk.now._replace(wall=desk.now.wall + 600)
    (after,) = claims(desk.world, desk.now)["GPU-0"]
    assert before.start - after.start == 600


# -- what follows ----------------------------------------------------------------------------------


def test_it_switches_out_those_who_may_be() -> None:
    desk = Desk(8, 8, 8)
    stays = started(desk, 0, spec=a_spec(requeue=False))
    own = started(desk, 1, uid=1000)
    goes = started(desk, 2)
    reserved(desk, gpus=("GPU-0", "GPU-1", "GPU-2"), preempt=True)
    assert settled(desk) == []
    desk.wait(HOUR)
    assert settled(desk) == [Preempted(desk.now, goes, 1, -1)]
    assert isinstance(desk.job(goes).phase, Stopping)
    assert {desk.job(stays).state, desk.job(own).state} == {"RUNNING"}


def test_without_preempt_it_switches_nobody_out() -> None:
    desk = Desk(8)
    started(desk, 0)
    reserved(desk, gpus=("GPU-0",))
    desk.wait(HOUR + 1)
    assert settled(desk) == []


def test_a_job_on_two_of_its_gpus_is_switched_out_once() -> None:
    desk = Desk(8, 8)
    job = started(desk, 0, 1)
    reserved(desk, start=0, count=2, preempt=True)
    assert settled(desk) == [Preempted(desk.now, job, 1, -1)]


def test_it_ends() -> None:
    desk = Desk(8)
    reserved(desk, count=1)
    desk.wait(2 * HOUR)
    assert settled(desk) == [Erased(desk.now, 0, "Reservation", "1")]
    assert claims(desk.world, desk.now) == {}


def test_one_that_is_repeated_goes_on() -> None:
    desk = Desk(8)
    desk.world.next_run = lambda _cron, _zone, after: (
        EPOCH + HOUR + DAY * math.ceil((after - EPOCH - HOUR + 1) / DAY)
    )
    one = reserved(desk, count=1, cron="0 9 * * *")
    desk.wait(2 * HOUR)
    assert settled(desk) == [Recorded(desk.now, 0, replace(one, start=one.start + DAY))]
    desk.wait(3.01 * DAY - 2 * HOUR)
    (event,) = settled(desk)
    assert isinstance(event, Recorded)
    assert event.record == replace(one, start=one.start + 3 * DAY), "those that were missed are not"


def test_an_occurrence_that_began_unseen_is_still_held() -> None:
    desk = Desk(8)
    desk.world.next_run = lambda _cron, _zone, after: (
        EPOCH + HOUR + DAY * math.ceil((after - EPOCH - HOUR + 1) / DAY)
    )
    one = reserved(desk, count=1, cron="0 9 * * *")
    desk.wait(DAY + 1.5 * HOUR)
    assert settled(desk) == [Recorded(desk.now, 0, replace(one, start=one.start + DAY))]
    assert claims(desk.world, desk.now)["GPU-0"][0].start < desk.now.boot


def test_the_scheduler_wakes_when_it_begins_and_ends() -> None:
    desk = Desk(8)
    assert next_deadline(desk.world) is None
    reserved(desk, start=40, length=10, count=1)
    seen = []
    for _ in range(2):
        settled(desk)
        deadline = next_deadline(desk.world)
        assert deadline is not None
        seen.append(deadline)
        desk.wait(deadline - desk.now.boot)
    assert [at - 1000 for at in seen] == pytest.approx([40, 50])


def test_the_wall_clock_is_looked_at_now_and_then() -> None:
    desk = Desk(8)
    reserved(desk, start=DAY, count=1)
    settled(desk)
    assert next_deadline(desk.world) == desk.now.boot + 60


# -- orders ----------------------------------------------------------------------------------------


def order(desk: Desk, **known: object) -> Reserve:
    values: dict[str, object] = {"duration": HOUR, "users": ("u1000",)} | known
    return Reserve(ADMIN, "", **values)  # type: ignore[arg-type]


def refused(desk: Desk, **known: object) -> str:
    with pytest.raises(MgpuError) as caught:
        desk.ask(order(desk, **known))
    return str(caught.value)


def test_a_reservation_is_made_and_taken_back() -> None:
    desk = Desk(8, 8)
    assert desk.ask(order(desk, count=1)) is not None
    (one,) = desk.world.records.all(Reservation)
    assert (one.id, one.start, one.duration, one.by) == (1, desk.now.wall, HOUR, ADMIN)
    desk.ask(Unreserve(ADMIN, 1))
    assert desk.world.records.all(Reservation) == []
    desk.ask(order(desk, count=1))
    assert [one.id for one in desk.world.records.all(Reservation)] == [2], "ids are not used again"


def test_there_is_no_such_reservation() -> None:
    with pytest.raises(MgpuError, match="there is no reservation 4"):
        Desk(8).ask(Unreserve(ADMIN, 4))


def test_what_cannot_be_reserved() -> None:
    desk = Desk(8, 8)
    assert refused(desk, count=3) == "count: asks for 3 GPUs; this machine has 2"
    assert "either a count or GPUs" in refused(desk)
    assert "either a count or GPUs" in refused(desk, count=1, gpus=("GPU-0",))
    assert "would have ended 0:10 ago" in refused(desk, count=1, start=EPOCH - HOUR - 10)


def test_more_than_the_machine_has_is_refused_with_the_figures() -> None:
    desk = Desk(8, 8, 8, 8)
    desk.ask(order(desk, count=2, start=EPOCH + HOUR))
    desk.ask(order(desk, gpus=("GPU-3",), start=EPOCH + 1.5 * HOUR))
    assert refused(desk, count=2, start=EPOCH + HOUR + 60) == (
        "count: needs 2 GPUs; 1 of 4 GPUs are left, beside reservation 1, 2"
    )
    assert refused(desk, gpus=("GPU-2", "GPU-3"), start=EPOCH + 2 * HOUR) == (
        "gpus: gpu3 is reserved at that time: reservation 2"
    )
    desk.ask(order(desk, count=1, start=EPOCH + HOUR + 60))
    desk.ask(order(desk, count=4, start=EPOCH + 2.5 * HOUR))


def test_named_gpus_that_leave_another_short_are_refused() -> None:
    desk = Desk(8, 8)
    desk.ask(order(desk, count=2, start=EPOCH + HOUR))
    assert refused(desk, gpus=("GPU-0",), start=EPOCH + HOUR) == (
        "reservation 1 needs 2 GPUs; 1 of 2 GPUs are left, beside this one"
    )


def test_later_occurrences_are_held_against_each_other() -> None:
    desk = Desk(8, 8)
    desk.world.next_run = lambda cron, _zone, after: (
        EPOCH
        + (step := DAY if cron == "daily" else 7 * DAY) * (math.floor((after - EPOCH) / step) + 1)
    )
    desk.ask(order(desk, count=1, cron="daily", start=EPOCH + 1))
    text = refused(desk, count=2, cron="weekly", start=EPOCH + 1)
    assert text == "count: needs 2 GPUs; 1 of 2 GPUs are left, beside reservation 1"


def test_a_later_occurrence_is_named_by_its_time() -> None:
    desk = Desk(8, 8)
    desk.world.next_run = lambda _cron, _zone, after: (
        EPOCH + DAY * (math.floor((after - EPOCH) / DAY) + 1)
    )
    desk.ask(order(desk, count=2, start=EPOCH + 4 * DAY - 60))
    assert refused(desk, count=1, cron="daily", start=EPOCH + 1) == (
        "count: needs 1 GPU; 0 of 2 GPUs are left, 3-00:00:00 after its first start, "
        "beside reservation 1"
    )


def test_groups_are_known_from_the_last_submission() -> None:
    desk = Desk(8)
    job = desk.submit(uid=1001)
    desk.apply(Recorded(desk.now, 0, Membership(1001, ("lab",))))
    reserved(desk, users=(), groups=("lab",), count=1)
    assert reservations.rights_of(desk.world, desk.job(job)) == {1}


def test_one_that_is_repeated_is_over_before_it_comes_again() -> None:
    desk = Desk(8, 8)
    desk.world.next_run = lambda _cron, _zone, after: DAY * math.floor(after / DAY + 1)
    assert "comes again after 1-00:00:00" in refused(desk, count=1, cron="x", duration=DAY + 1)
    desk.ask(order(desk, count=1, cron="0 9 * * *", duration=DAY))
