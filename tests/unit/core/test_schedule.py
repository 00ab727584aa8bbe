"""Who starts now, who waits, and who may pass whom."""

from __future__ import annotations

import math

import pytest

from mgpu.core.policy import Policy
from mgpu.core.requests import AttemptRefused, AttemptVanished
from mgpu.core.schedule import latest_end, next_deadline, outlook, schedule
from mgpu.model.events import Started
from mgpu.testing.builders import Desk, a_spec, at


def test_four_jobs_of_6_gib_sent_at_once_to_one_16_gib_gpu_two_run() -> None:
    desk = Desk(16384)
    desk.submit(a_spec(1, 6144), count=4)
    assert desk.run() == {1: (0,), 2: (0,)}
    assert desk.run() == {}
    desk.launched(1)
    desk.end(1)
    assert desk.run() == {3: (0,)}


def test_a_start_names_the_next_attempt_and_the_gpus() -> None:
    desk = Desk(16384, 16384)
    desk.submit(a_spec(2))
    plan = schedule(desk.world, desk.now)
    assert plan.starts == [Started(at(0), 1, 1, ("GPU-0", "GPU-1"))]
    assert schedule(desk.world, desk.now).starts == plan.starts


def test_first_come_first_served_within_a_priority() -> None:
    desk = Desk(1000)
    desk.submit(count=2)
    desk.submit(priority=1)
    assert desk.run() == {3: (0,)}
    desk.end(3)
    assert desk.run() == {1: (0,)}


def test_the_margin_is_never_given_out() -> None:
    desk = Desk(1000, policy=Policy(margin=100))
    desk.submit(a_spec(1, 450), count=3)
    assert desk.run() == {1: (0,), 2: (0,)}
    desk.submit(a_spec(1, 1))
    assert desk.run() == {}


def test_a_gpu_that_is_not_available_gets_nothing() -> None:
    desk = Desk(1000, 1000)
    desk.set_gpu(0, available=False)
    desk.submit(count=2)
    assert desk.run() == {1: (1,)}
    desk.set_gpu(0, available=True)
    assert desk.run() == {2: (0,)}


def test_a_job_is_never_started_beside_outsiders_that_need_its_memory() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(1, 600))
    desk.set_gpu(0, outside=401)
    assert desk.run() == {}
    desk.set_gpu(0, outside=400)
    assert desk.run() == {1: (0,)}


def test_memory_of_jobs_on_a_gpu_that_vanished_is_given_back_without_harm() -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec(2, 500))
    desk.run()
    assert desk.keep_gpus(1)
    desk.submit(a_spec(1, 600))
    assert desk.run() == {}
    desk.end(1)
    assert desk.run() == {2: (0,)}


def test_a_job_may_pass_the_reserved_one_when_it_is_over_in_time() -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec(1, limit=100))
    desk.run()
    desk.submit(a_spec(2))
    just, late, endless = (desk.submit(a_spec(1, limit=limit)) for limit in (100, 101, None))
    assert desk.run() == {just: (1,)}
    reserved = outlook(desk.world, desk.now).reservation
    assert reserved is not None
    assert (reserved.job.id, reserved.gpus, reserved.at, reserved.after) == (2, (0, 1), 1100.0, 1)
    desk.end(just)
    desk.wait(1)
    desk.submit(a_spec(1, limit=100))
    assert desk.run() == {}
    assert {late, endless} < desk.world.jobs.keys()


def test_the_machine_s_limit_counts_where_it_is_the_smaller_one() -> None:
    desk = Desk(1000, 1000, policy=Policy(max_job_time=100))
    desk.submit(a_spec(1))
    desk.run()
    desk.submit(a_spec(2))
    assert desk.submit(a_spec(1, limit=5000)) in desk.run()


def test_a_job_without_limit_may_take_a_gpu_that_the_reserved_one_does_not_get() -> None:
    desk = Desk(1000, 1000, 1000)
    desk.submit(a_spec(2))
    desk.run()
    desk.submit(a_spec(2))
    desk.submit(count=2)
    assert desk.run() == {3: (2,)}
    held = outlook(desk.world, desk.now).reservation
    assert held is not None
    assert (held.gpus, held.at, held.after) == ((0, 1), math.inf, 1)


def test_the_reserved_job_waits_for_the_oldest_of_those_that_have_no_limit() -> None:
    desk = Desk(1000, 1000, 1000)
    for _ in range(3):
        desk.submit(a_spec(1, 600))
        desk.run()
        desk.wait(1)
    desk.submit(a_spec(1))
    desk.submit(a_spec(1, 400), count=3)
    assert desk.run() == {5: (1,), 6: (2,)}
    held = outlook(desk.world, desk.now).reservation
    assert held is not None
    assert (held.gpus, held.at, held.after) == ((0,), math.inf, 1)


def test_gpus_are_left_idle_for_an_unknown_end_only_after_a_while() -> None:
    desk = Desk(1000, 1000, policy=Policy(drain_after=100))
    desk.submit()
    desk.run()
    big = desk.submit(a_spec(2))
    passing = desk.submit()
    assert desk.run() == {passing: (1,)}
    desk.end(passing)
    desk.wait(100)
    later = desk.submit()
    assert desk.run() == {}
    desk.end(1)
    assert desk.run() == {big: (0, 1)}
    assert later in desk.world.jobs


def test_a_known_end_holds_others_back_at_once() -> None:
    desk = Desk(1000, 1000, policy=Policy(drain_after=100))
    desk.submit(a_spec(limit=50))
    desk.run()
    desk.submit(a_spec(2))
    desk.submit()
    assert desk.run() == {}


def test_memory_beside_the_reserved_job_is_given_to_others() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(1, 500, limit=100))
    desk.run()
    desk.submit(a_spec(1, 700))
    beside = desk.submit(a_spec(1, 300))
    too_much = desk.submit(a_spec(1, 1))
    in_time = desk.submit(a_spec(1, 200, limit=100))
    assert desk.run() == {beside: (0,), in_time: (0,)}
    assert desk.job(too_much).attempt == 0


def test_only_the_first_blocked_job_has_a_reservation() -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec(1, limit=50))
    desk.run()
    desk.submit(a_spec(2, limit=100))
    desk.submit(a_spec(2, 500))
    assert desk.submit(a_spec(1, limit=50)) in desk.run()
    held = outlook(desk.world, desk.now).reservation
    assert held is not None
    assert held.job.id == 2


def test_a_pass_counts_what_it_starts_itself_when_it_reserves() -> None:
    desk = Desk(1000)
    desk.submit(a_spec(1, limit=30))
    desk.submit()
    assert desk.run() == {1: (0,)}
    held = outlook(desk.world, desk.now).reservation
    assert held is not None
    assert (held.job.id, held.at, held.after) == (2, 1030.0, 1)


def test_a_running_job_past_its_limit_can_end_at_any_moment() -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec(1, limit=10))
    desk.run()
    desk.wait(3)
    desk.launched(1)
    desk.submit(a_spec(2))
    desk.wait(9)
    held = outlook(desk.world, desk.now).reservation
    assert held is not None
    assert held.at == at(13).boot
    desk.wait(5)
    held = schedule(desk.world, desk.now).outlook.reservation
    assert held is not None
    assert held.at == at(17).boot


def test_a_job_that_is_being_stopped_can_end_at_any_moment() -> None:
    desk = Desk(1000)
    desk.submit()
    desk.run()
    desk.cancel(1)
    desk.submit()
    desk.wait(7)
    assert desk.run() == {}
    held = outlook(desk.world, desk.now).reservation
    assert held is not None
    assert held.at == at(7).boot


def test_nothing_is_reserved_for_what_no_end_of_a_job_would_help() -> None:
    desk = Desk(1000, 1000)
    desk.submit(a_spec(2))
    desk.set_gpu(1, outside=900)
    desk.submit(a_spec(1))
    assert desk.run() == {2: (0,)}
    assert outlook(desk.world, desk.now).reservation is None


def test_jobs_without_gpus_start_at_once_up_to_the_bound() -> None:
    desk = Desk(policy=Policy(max_gpuless=2))
    desk.submit(a_spec(0), count=3)
    assert desk.run() == {1: (), 2: ()}
    assert outlook(desk.world, desk.now).gpuless == 2
    desk.end(1)
    assert desk.run() == {3: ()}


def test_no_bound_on_jobs_without_gpus() -> None:
    desk = Desk(policy=Policy(max_gpuless=0))
    desk.submit(a_spec(0), count=100)
    assert len(desk.run()) == 100


def test_jobs_without_gpus_do_not_wait_behind_others() -> None:
    desk = Desk(1000)
    desk.submit(count=2)
    desk.submit(a_spec(0))
    assert desk.run() == {1: (0,), 3: ()}


def test_a_deferred_job_keeps_its_place_and_the_deadline_says_when_to_look_again() -> None:
    desk = Desk(1000)
    desk.submit(count=2)
    desk.run()
    assert next_deadline(desk.world) is None
    desk.report(AttemptRefused, 1, "fork", 11, "", True)
    assert next_deadline(desk.world) == at(1).boot
    assert desk.run() == {2: (0,)}
    desk.end(2)
    desk.wait(0.9)
    assert desk.run() == {}
    desk.wait(0.1)
    assert desk.run() == {1: (0,)}
    assert desk.job(1).attempt == 2


def test_an_outlook_is_kept_until_something_changes_or_falls_due() -> None:
    desk = Desk(1000)
    desk.submit(count=2)
    desk.run()
    seen = outlook(desk.world, desk.now)
    assert outlook(desk.world, desk.now) is seen
    desk.submit()
    newer = outlook(desk.world, desk.now)
    assert newer is not seen
    desk.report(AttemptVanished, 1)
    due = outlook(desk.world, desk.now)
    assert due is not newer
    assert due.started == {1}


def test_an_inventory_that_says_nothing_new_changes_nothing() -> None:
    desk = Desk(1000)
    seen = outlook(desk.world, desk.now)
    assert not desk.keep_gpus(1)
    assert outlook(desk.world, desk.now) is seen
    desk.set_gpu(0, outside=1)
    assert outlook(desk.world, desk.now) is not seen


@pytest.mark.parametrize(
    ("asked", "machine", "end"), [(None, 0, math.inf), (60, 0, 1060.0), (60, 20, 1020.0)]
)
def test_the_latest_end(asked: int | None, machine: int, end: float) -> None:
    assert latest_end(asked, Policy(max_job_time=machine), at(0)) == end


def test_gpus_are_known_by_uuid_when_their_order_changes() -> None:
    desk = Desk(1000, 2000)
    desk.submit(a_spec(1, 900))
    desk.run()
    desk.renumber({"GPU-0": 1, "GPU-1": 0})
    desk.submit(a_spec(1, 500))
    assert desk.run() == {2: (0,)}
    assert desk.job(2).gpus == ("GPU-1",)


def test_whoever_asks_when_a_pass_is_due_does_not_put_it_off() -> None:
    desk = Desk(1000)
    desk.submit()
    desk.run()
    desk.ask(AttemptRefused(1, 1, "fork", 11, "", transient=True))
    assert desk.run() == {}
    desk.wait(1)
    assert desk.reason(1)[1] == "starts with the next pass"
    assert next_deadline(desk.world) == desk.now.boot
    assert desk.run() == {1: (0,)}
    assert next_deadline(desk.world) is None
