"""Holds and recurring jobs through real frames, and what a restart makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mgpu.system import cron as calendar
from tests.unit.daemon.rig import ALICE, BOB, Rig, a_submit

HOURLY: dict[str, Any] = {"cron": "0 * * * *", "zone": "UTC"}


def recurring(rig: Rig, uid: int = ALICE, *, admin: bool = False) -> list[dict[str, Any]]:
    answer: dict[str, Any] = rig.client(uid, admin=admin).one({"op": "crons"})["ok"]
    rows: list[dict[str, Any]] = answer["recurring"]
    return rows


def test_hold_and_release_of_what_waits(rig: Rig) -> None:
    client = rig.client()
    client.one(a_submit("a", count=2))
    client.one(a_submit("b"))
    assert client.one({"op": "hold", "jobs": [3]}) == {"ok": {"jobs": [[3, "changed"]]}}
    assert rig.client(BOB).one({"op": "release", "jobs": [3]}) == {"ok": {"jobs": [[3, "unknown"]]}}
    assert client.one({"op": "release", "jobs": [3]}) == {"ok": {"jobs": [[3, "changed"]]}}


def test_a_recurring_job_has_a_number_of_its_own_and_is_private(rig: Rig) -> None:
    assert rig.client().one(a_submit("k", **HOURLY)) == {"ok": {"jobs": [[1, "changed"]]}}
    (row,) = recurring(rig)
    assert (row["id"], row["cron"], row["left_out"]) == (1, "0 * * * *", 0)
    assert recurring(rig, BOB) == []
    assert len(recurring(rig, 0, admin=True)) == 1


def test_the_same_key_makes_one_recurring_job(rig: Rig) -> None:
    client = rig.client()
    assert client.one(a_submit("k", **HOURLY)) == client.one(a_submit("k", **HOURLY))
    assert len(recurring(rig)) == 1


@pytest.mark.parametrize("restart", [False, True])
def test_each_run_is_submitted_once_also_over_a_restart(rig: Rig, restart: bool) -> None:
    rig.client().one(a_submit("k", **HOURLY))
    due = calendar.next_run("0 * * * *", "UTC", rig.clock.now().wall)
    rig.wait(due - rig.clock.now().wall + 1)
    if restart:
        rig.again()
        rig.settle()
    assert list(rig.active()) == [1]
    assert recurring(rig)[0]["last"] == 1


def test_a_run_that_fell_into_a_stop_is_told(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.client().one(a_submit("k", **HOURLY))
    rig.kill()
    rig.clock.forward(7200)
    rig.start()
    rig.settle()
    assert list(rig.active()) == []
    (row,) = recurring(rig)
    assert (row["left_out"], row["note"]) == (1, "missed: mgpu was stopped")


def test_an_expression_that_is_none_is_refused(rig: Rig) -> None:
    error = rig.client().one(a_submit("k", cron="every day"))["error"]
    assert (error["code"], error["path"]) == ("BadRequest", "spec.cron")


def test_a_removed_recurring_job_leaves_no_environment_behind(rig: Rig) -> None:
    rig.client().one(a_submit("k", **HOURLY))
    assert rig.store.payload(-1)
    rig.client().one({"op": "cron_change", "numbers": [1], "how": "remove"})
    with pytest.raises(Exception, match="missing"):
        rig.store.payload(-1)
