"""When a cron expression is due, also where clocks are moved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgpu.system.cron import check, next_run
from mgpu.system.zone import zone_named

BERLIN = "Europe/Berlin"
FORM = "%Y-%m-%d %H:%M"


@pytest.fixture(autouse=True)
def machine_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine is in New York."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def wall(text: str, zone: str = BERLIN) -> float:
    return datetime.strptime(text, FORM).replace(tzinfo=ZoneInfo(zone)).timestamp()


def runs(cron: str, after: str, count: int, zone: str = BERLIN) -> list[str]:
    """The next ones, as the clocks show them."""
    at, seen = wall(after, zone or "America/New_York"), []
    for _ in range(count):
        at = next_run(cron, zone, at)
        shown = datetime.fromtimestamp(at, ZoneInfo(zone or "America/New_York"))
        seen.append(shown.strftime(FORM))
    return seen


def test_weekdays() -> None:
    assert runs("0 9 * * 1-5", "2026-01-02 08:59", 3) == [
        "2026-01-02 09:00",
        "2026-01-05 09:00",
        "2026-01-06 09:00",
    ]


def test_what_is_due_now_is_over() -> None:
    assert runs("0 9 * * *", "2026-01-02 09:00", 1) == ["2026-01-03 09:00"]


def test_a_time_that_is_left_out_comes_an_hour_later() -> None:
    assert runs("30 2 * * *", "2026-03-28 12:00", 3) == [
        "2026-03-29 03:30",
        "2026-03-30 02:30",
        "2026-03-31 02:30",
    ]


def test_a_time_that_comes_twice_counts_once() -> None:
    assert runs("30 2 * * *", "2026-10-24 12:00", 2) == ["2026-10-25 02:30", "2026-10-26 02:30"]
    first = next_run("30 2 * * *", BERLIN, wall("2026-10-24 12:00"))
    assert first == wall("2026-10-25 02:30"), "the first of the two"
    assert next_run("30 2 * * *", BERLIN, first + 600) - first == 25 * 3600


def test_noon_stays_noon() -> None:
    assert runs("0 12 * * 0", "2026-03-27 00:00", 2) == ["2026-03-29 12:00", "2026-04-05 12:00"]


def test_without_a_zone_it_is_the_machine_s() -> None:
    assert runs("0 9 * * *", "2026-03-07 12:00", 2, zone="") == [
        "2026-03-08 09:00",
        "2026-03-09 09:00",
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["*/20 * * * *", "0 */6 * * *", "30 2 * * *", "15 1,2,3 * * 0", "@daily"]),
    st.sampled_from([BERLIN, "America/New_York", "UTC", "Australia/Lord_Howe"]),
    st.integers(1_760_000_000, 1_800_000_000),
)
def test_the_next_one_is_always_later(cron: str, zone: str, start: int) -> None:
    seen = [float(start)]
    for _ in range(4):
        seen.append(next_run(cron, zone, seen[-1]))
    assert all(one < other for one, other in pairwise(seen))
    assert next_run(cron, zone, seen[1] - 1) == seen[1]


@pytest.mark.parametrize(
    "cron",
    [
        *("0 9 * * 1-5", "@daily", "*/5 * * * *", "0 0 29 2 *", "0 9 * * MON"),
        *("0 0 L * *", "0 0 * * 5#2", "0,30 8-18/2 ? jan-mar *"),
    ],
)
def test_expressions(cron: str) -> None:
    check(cron, BERLIN)


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("", "is no cron expression; write minute"),
        ("9 * *", "is no cron expression"),
        ("* * * * * *", "is no cron expression"),
        ("61 * * * *", "is no cron expression"),
        ("@sometimes", "is no cron expression"),
        ("R R * * *", "is no cron expression"),
        ("0 r(2-4) * * *", "is no cron expression"),
        ("H H * * *", "is no cron expression"),
        ("@reboot", "is no cron expression"),
        ("0 0 31 2 *", "is never due"),
    ],
)
def test_what_is_no_expression(cron: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(cron, "")


@pytest.mark.parametrize("zone", ["Mars/Base", "../../../etc/passwd", "/etc/localtime", "x\0y"])
def test_what_is_no_zone(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        zone_named(zone)


def test_zones() -> None:
    assert zone_named("") is None
    assert zone_named(BERLIN) == ZoneInfo(BERLIN)
