"""Who is told, how much may wait, whose turn it is, and what becomes of a delivery."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core import post, tidings
from mgpu.core.post import Outcome, Rules, Standing
from mgpu.core.tidings import Tiding
from mgpu.core.world import World
from mgpu.model.job import Pending
from mgpu.model.notice import MOST_WAITING, Notify
from mgpu.model.records import Notice
from mgpu.model.time import Now
from mgpu.testing.builders import Desk, a_job, a_spec, at

NOW = at(0)
ASKED = Notify(("job_failed",), ("mailto:a@b.de", "https://h.org/x"))


def of_job(event: str = "job_failed", notify: Notify | None = ASKED, user: str = "u") -> Tiding:
    job = a_job(1, Pending(0.0), replace(a_spec(), notify=notify))
    job.user = user
    return Tiding(event, "job 1.1", {}, job, "1")


def taken(world: World, rules: Rules, *told: Tiding, now: Now = NOW) -> list[Notice]:
    post.take(world, rules, told, lambda one: one.event, now)
    return world.records.all(Notice)


def a_notice(world: World, **fields: object) -> Notice:
    """The first of a world that was told of one failure."""
    found = taken(world, Rules(), of_job())[0]
    changed = replace(found, **fields)  # type: ignore[arg-type]
    world.records.put(changed)
    return changed


@pytest.fixture
def world() -> World:
    return Desk(24576).world


def test_each_target_of_a_job_gets_a_notice_of_its_own(world: World) -> None:
    found = taken(world, Rules(), of_job())
    assert [(one.id, one.target) for one in found] == [
        (1, "mailto:a@b.de"),
        (2, "https://h.org/x"),
    ]
    assert {(one.lane, one.uid, one.body) for one in found} == {("user:1000", 1000, "job_failed")}


@pytest.mark.parametrize("told", [of_job("job_started"), of_job(notify=None), tidings.online()])
def test_what_nobody_asked_for_is_told_to_nobody(told: Tiding, world: World) -> None:
    assert taken(world, Rules(), told) == []


@pytest.mark.parametrize(
    ("standing", "wants"),
    [
        (Standing("webhook:a", frozenset({"*"})), True),
        (Standing("webhook:a", frozenset({"job_failed"})), True),
        (Standing("webhook:a", frozenset({"job_started"})), False),
        (Standing("webhook:a", frozenset({"*"}), frozenset({"u"})), True),
        (Standing("webhook:a", frozenset({"*"}), frozenset({"v"})), False),
    ],
)
def test_targets_of_the_configuration_are_filtered(
    standing: Standing, wants: bool, world: World
) -> None:
    found = taken(world, Rules((standing,)), of_job(notify=None))
    assert [one.target for one in found] == ["webhook:a"] * wants


def test_events_of_the_machine_go_to_who_filters_no_users(world: World) -> None:
    every = Standing("webhook:every", frozenset({"*"}))
    bobs = Standing("webhook:bobs", frozenset({"*"}), frozenset({"bob"}))
    found = taken(world, Rules((every, bobs)), tidings.online())
    assert [one.target for one in found] == ["webhook:every"]


def test_the_same_of_the_machine_is_told_once_in_the_window(world: World) -> None:
    rules = Rules((Standing("webhook:a", frozenset({"*"})),), window=300.0)
    assert len(taken(world, rules, tidings.online(), tidings.online())) == 1
    assert len(taken(world, rules, tidings.online(), now=at(299))) == 1
    assert len(taken(world, rules, tidings.online(), now=at(301))) == 2


def test_what_was_delivered_is_remembered_for_the_window(world: World) -> None:
    rules = Rules((Standing("webhook:a", frozenset({"*"})),), window=300.0)
    (notice,) = taken(world, rules, tidings.online())
    post.sending(world, notice, NOW)
    assert post.settle(world, rules, Outcome(1, 1, delivered=True), at(1)) is None
    assert len(taken(world, rules, tidings.online(), now=at(10))) == 1
    assert post.delay(rules, world.records.all(Notice)[0], at(10)) == 290


def test_one_user_has_so_many_waiting(world: World) -> None:
    for _ in range(MOST_WAITING // 2):
        taken(world, Rules(), of_job())
    assert post.take(world, Rules(), [of_job()], str, NOW) == ["user:1000"] * 2
    assert post.waiting_of(world, "user:1000") == MOST_WAITING


def test_numbers_are_never_given_twice(world: World) -> None:
    first = taken(world, Rules(), of_job())
    for one in first:
        post.forget(world, one)
    assert [one.id for one in taken(world, Rules(), of_job())] == [3, 4]


def test_a_delivery_that_fails_for_a_passing_cause_is_tried_again_later_and_later(
    world: World,
) -> None:
    notice, rules, pauses = a_notice(world), Rules(retries=3), []
    for tries in range(1, 4):
        notice = post.sending(world, notice, NOW)
        assert notice.tries == tries
        outcome = Outcome(notice.id, tries, delivered=False, passing=True)
        assert post.settle(world, rules, outcome, NOW) is None
        notice = world.records.get(Notice, notice.id) or notice
        pauses.append(post.delay(rules, notice, NOW))
    assert pauses == [10, 20, 40]
    notice = post.sending(world, notice, NOW)
    assert post.settle(world, rules, Outcome(1, 4, delivered=False, passing=True), NOW) == notice
    assert world.records.get(Notice, 1) is None


def test_a_delivery_that_cannot_succeed_is_given_up_at_once(world: World) -> None:
    notice = post.sending(world, a_notice(world), NOW)
    outcome = Outcome(notice.id, 1, delivered=False, passing=False, why="HTTP 404")
    assert post.settle(world, Rules(), outcome, NOW) == notice


def test_news_of_an_earlier_delivery_is_old(world: World) -> None:
    notice = post.sending(world, a_notice(world, tries=1), NOW)
    assert post.settle(world, Rules(), Outcome(notice.id, 1, delivered=True), NOW) is None
    assert world.records.get(Notice, notice.id) == notice


def test_what_was_handed_over_and_never_heard_of_waits_for_the_window(world: World) -> None:
    notice = post.sending(world, a_notice(world), NOW)
    assert post.delay(Rules(window=300.0), notice, at(100)) == 200


@pytest.mark.parametrize("days", [-1, 1])
def test_no_step_of_the_wall_clock_makes_a_notice_wait_for_long(days: int, world: World) -> None:
    notice = a_notice(world, due=NOW.wall + 10)
    stepped = Now(NOW.wall + days * 86400, NOW.boot)
    assert 0 <= post.delay(Rules(), notice, stepped) <= post.LONGEST_PAUSE


def test_lanes_take_turns(world: World) -> None:
    base = a_notice(world)
    ready = [replace(base, id=n, lane="user:1") for n in range(10)]
    ready += [replace(base, id=20 + n, lane=f"user:{n}") for n in range(2, 5)]
    chosen = post.choose(ready, [], Rules(concurrency=16))
    assert [one.id for one in chosen] == [0, 22, 23, 24, 1]
    assert [one.id for one in post.choose(ready, ["user:1"] * 2, Rules())] == [22, 23, 24]
    assert [one.id for one in post.choose(ready, ["user:9"] * 3, Rules(concurrency=4))] == [0]
    assert post.choose(ready, ["user:9"] * 4, Rules(concurrency=4)) == []
