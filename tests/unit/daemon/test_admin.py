"""Reservations and quotas through real frames: orders of administrators, and who sees what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mgpu.model.records import Quota, Reservation
from mgpu.protocol import names
from mgpu.protocol.fields import LATEST
from mgpu.system.log import log
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, BOB, Client, Rig, a_submit

HOUR = 3600
DAY = 24 * HOUR
Seen = tuple[str, list[str], list[str], list[str]]
ORDERS: list[Map] = [
    {"op": "reserve", "key": "k", "count": 1, "duration": 60},
    {"op": "unreserve", "id": 1},
    {"op": "quota_set", "subject": "user:ada", "running_gpus": 1},
    {"op": "quota_remove", "subject": "user:ada"},
]


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Two projects have members."""
    members = {"x": ["u1001"], "vision": ["u1002", "@lab"]}
    return make_rig(limits__request_burst=100_000, projects__members=members)


def a_reservation(key: str = "k", **fields: Any) -> Map:
    chosen = {} if "gpus" in fields else {"count": 1}
    return {"op": "reserve", "key": key, "duration": HOUR} | chosen | fields


def listed(client: Client) -> list[Map]:
    answer: list[Map] = client.one({"op": "reservations"})["ok"]["reservations"]
    return answer


def quotas(client: Client) -> dict[str, Map]:
    return {row["subject"]: row for row in client.one({"op": "quota_list"})["ok"]["quotas"]}


def kept(rig: Rig, kind: type) -> list[Any]:
    return [record for record in rig.store.load().records if isinstance(record, kind)]


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order["op"])
@pytest.mark.parametrize("uid", [0, ALICE])
def test_orders_are_taken_on_the_admin_socket_alone(rig: Rig, order: Map, uid: int) -> None:
    assert rig.client(uid).one(order)["error"]["code"] == "Denied"
    assert rig.client(0, admin=True).one(order).get("error", {}).get("code") != "Denied"


def test_every_order_is_a_line_in_the_log(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    log.set_level("info")
    try:
        admin = rig.client(0, admin=True)
        for order in ORDERS:
            admin.one(order)
        rig.client(ALICE).one(ORDERS[0])
        admin.one({"op": "unreserve", "id": 9})
    finally:
        log.set_level("error")
    lines = [line for line in capfd.readouterr().err.splitlines() if "request" in line]
    told = [line.split("action=")[1] for line in lines]
    assert told == [
        "reserve uid=0 record=1 result=ok",
        "unreserve uid=0 record=1 result=ok",
        "quota_set uid=0 record=user:ada result=ok",
        "quota_remove uid=0 record=user:ada result=ok",
        f"reserve uid={ALICE} jobs=- result=Denied",
        "unreserve uid=0 jobs=- result=Unknown",
    ]
    assert {order["op"] for order in ORDERS} <= names.CHANGES


def test_in_recovery_mode_nothing_is_ordered(rig: Rig) -> None:
    rig.recovery = "the state is damaged"
    rig.again()
    admin = rig.client(0, admin=True)
    for order in ORDERS:
        assert admin.one(order)["error"]["code"] == "RecoveryMode"
    assert listed(admin) == []


# -- reservations ----------------------------------------------------------------------------------


def test_a_reservation_is_kept(rig: Rig) -> None:
    admin = rig.client(0, admin=True)
    start = int(rig.clock.at.wall) + HOUR
    order = a_reservation(
        start=start, end=start + 600, duration=None, gpus=[1], for_users=["u1001"],
        for_groups=["lab"], for_projects=["x"], name="course", preempt=True,
    )  # fmt: skip
    assert admin.one(order) == {"ok": {"key": "1"}}
    assert admin.one(order) == {"ok": {"key": "1"}}, "the same key is the same order"
    (one,) = kept(rig, Reservation)
    assert one == Reservation(
        1,
        "course",
        0,
        start,
        600,
        0,
        one.gpus,
        ("u1001",),
        ("lab",),
        ("x",),
        "",
        "",
        preempt=True,
    )
    rig.again()
    assert [row["gpus"] for row in listed(rig.client(0, admin=True))] == [[1]]
    assert rig.client(0, admin=True).one({"op": "unreserve", "id": 1}) == {"ok": {"key": "1"}}
    assert kept(rig, Reservation) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"duration": None}, "duration: give either an end or a duration"),
        ({"end": 2_000_000_000}, "duration: give either an end or a duration"),
        ({"duration": None, "end": 5}, "end: it would end before it begins"),
        ({"duration": None, "end": 5, "cron": "@daily"}, "duration: is missing; what is repeated"),
        ({"start": 5}, "start: it would have ended"),
        ({"cron": "9 9"}, 'cron: "9 9" is no cron expression'),
        ({"zone": "Mars"}, 'zone: "Mars" is no time zone'),
        ({"gpus": [7]}, "gpus: there is no gpu7"),
        ({"count": 3}, "count: asks for 3 GPUs; this machine has 2"),
        ({"count": 0}, "count: give either a count or GPUs"),
    ],
)
def test_orders_that_make_no_sense(rig: Rig, fields: Map, message: str) -> None:
    error = rig.client(0, admin=True).one(a_reservation(**fields))["error"]
    assert f"{error['path']}: {error['message']}".startswith(message)


def test_who_sees_whose_a_reservation_is(rig: Rig) -> None:
    rig.launcher.groups = {ALICE: ["lab"], BOB: ["staff"]}
    admin = rig.client(0, admin=True)
    admin.one(a_reservation("a", for_groups=["lab"], name="course"))
    admin.one(a_reservation("b", for_users=["u1002"], for_projects=["vision"]))
    clients = {"admin": admin, "alice": rig.client(ALICE), "bob": rig.client(BOB)}
    shown = {
        who: [(row["name"], row["users"], row["groups"], row["projects"], row["mine"])
              for row in listed(client)]
        for who, client in clients.items()
    }  # fmt: skip
    course: Seen = ("course", [], ["lab"], [])
    vision: Seen = ("", ["u1002"], [], ["vision"])
    assert shown["admin"] == [(*course, False), (*vision, False)]
    assert shown["alice"] == [(*course, True), ("", [], [], ["vision"], False)]
    assert shown["bob"] == [("", [], [], [], False), (*vision, True)]


def test_all_see_times_and_gpus(rig: Rig) -> None:
    start = int(rig.clock.at.wall) + HOUR
    rig.client(0, admin=True).one(a_reservation(start=start, for_users=["x"], count=2))
    (row,) = listed(rig.client(ALICE))
    assert (row["start"], row["end"], row["gpus"], row["active"]) == (
        start, start + HOUR, [0, 1], False,
    )  # fmt: skip
    assert (row["count"], row["exact"], row["nobody"], row["starts"]) == (2, False, False, [start])


def test_repeated_ones_are_shown_ahead_and_go_on(rig: Rig) -> None:
    admin = rig.client(0, admin=True)
    admin.one(a_reservation(cron="0 12 * * *", zone="Europe/Berlin"))
    (row,) = listed(rig.client(0, admin=True))
    first = row["start"]
    assert first > rig.clock.at.wall
    assert row["starts"][:3] == [first, first + DAY, first + 2 * DAY]
    rig.wait(first - rig.clock.at.wall + 1)
    assert listed(rig.client(0, admin=True))[0]["active"]
    rig.wait(HOUR)
    (row,) = listed(rig.client(0, admin=True))
    assert (row["start"], row["active"]) == (first + DAY, False)
    assert [one.start for one in kept(rig, Reservation)] == [first + DAY]


def test_one_that_is_over_is_gone(rig: Rig) -> None:
    admin = rig.client(0, admin=True)
    admin.one(a_reservation(duration=30))
    assert listed(rig.client(0, admin=True))[0]["active"]
    rig.wait(31)
    assert listed(rig.client(0, admin=True)) == kept(rig, Reservation) == []


# -- quotas ----------------------------------------------------------------------------------------


def test_a_quota_is_kept(rig: Rig) -> None:
    admin = rig.client(0, admin=True)
    order = {"op": "quota_set", "subject": "user:u1001", "running_gpus": 1, "queued_jobs": 2}
    assert admin.one(order) == {"ok": {"key": "user:u1001"}}
    admin.one(
        {"op": "quota_set", "subject": "user:u1001", "gpu_seconds": 5400, "lift": ["queued_jobs"]}
    )
    rig.again()
    (quota,) = kept(rig, Quota)
    assert (quota.running_gpus, quota.queued_jobs, quota.gpu_hours) == (1, None, 1.5)
    admin = rig.client(0, admin=True)
    admin.one({"op": "quota_remove", "subject": "user:u1001"})
    assert quotas(admin) == {}


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"op": "quota_set", "subject": "ada"}, '"ada" is nobody that can have a quota'),
        ({"op": "quota_set", "subject": "default:group"}, '"default:group" is nobody'),
        ({"op": "quota_set", "subject": "user:a", "running_gpus": -1}, "-1 is out of range"),
        ({"op": "quota_set", "subject": "user:a", "period": 59}, "59 is out of range"),
        ({"op": "quota_set", "subject": "user:a", "lift": ["x"]}, '"x" is no bound'),
        ({"op": "quota_remove", "subject": "user:a"}, 'there is no quota of "user:a"'),
    ],
)
def test_quotas_that_make_no_sense(rig: Rig, order: Map, message: str) -> None:
    assert message in rig.client(0, admin=True).one(order)["error"]["message"]


def test_users_see_what_binds_them_with_their_figures(rig: Rig) -> None:
    rig.launcher.groups = {ALICE: ["lab"]}
    admin = rig.client(0, admin=True)
    for subject in ("default:user", "user:u1002", "group:lab", "group:staff", "project:x"):
        admin.one({"op": "quota_set", "subject": subject, "queued_jobs": 5, "running_jobs": 1})
    rig.client(ALICE).one(a_submit(project="x"))
    assert list(quotas(rig.client(ALICE))) == ["user:u1001", "group:lab", "project:x"]
    mine = quotas(rig.client(ALICE))["user:u1001"]
    assert mine["queued_jobs"] == 5
    assert mine["used"]["running_jobs"] + mine["used"]["queued_jobs"] == 1
    assert list(quotas(rig.client(BOB))) == ["user:u1002"]
    everything = quotas(admin)
    assert set(everything) == {
        "default:user",
        "user:u1002",
        "group:lab",
        "group:staff",
        "project:x",
    }
    assert everything["default:user"]["used"] is None


def test_over_the_queue_s_bound_a_submission_is_refused(rig: Rig) -> None:
    rig.launcher.groups = {ALICE: ["lab"]}
    rig.client(0, admin=True).one({"op": "quota_set", "subject": "group:lab", "queued_jobs": 1})
    error = rig.client(ALICE).one(a_submit(count=2))["error"]
    assert (error["code"], error["message"]) == (
        "LimitReached",
        "group lab: 0 of at most 1 queued jobs wait; 2 more are too many",
    )
    assert "ok" in rig.client(BOB).one(a_submit("b", count=2))


def test_dates_are_those_of_a_calendar(rig: Rig) -> None:
    admin = rig.client(0, admin=True)
    for start in (LATEST, 1_700_000_000):
        order = a_reservation(f"k{start}", start=start, cron="0 0 29 2 *", for_users=["ada"])
        assert "ok" in admin.one(order), start
    error = admin.one(a_reservation("late", start=LATEST + 1))["error"]
    assert (error["code"], error["path"]) == ("BadRequest", "start")
    assert "ok" in admin.one({"op": "reservations"})


def test_a_reservation_with_an_end_is_not_longer_than_others(rig: Rig) -> None:
    order = {"op": "reserve", "key": "k", "count": 1, "end": 1_700_000_000 + 367 * DAY}
    error = rig.client(0, admin=True).one(order)["error"]
    assert (error["code"], error["path"]) == ("BadRequest", "end")
