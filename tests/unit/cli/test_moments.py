"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from mgpu.cli.moments import moment, written

BERLIN = ZoneInfo("Europe/Berlin")
#: A Friday, one hour later in Berlin.
NOW = datetime(2026, 1, 2, 15, 30, 20, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-01-02 15:30:20"),
        ("now+90", "2026-01-02 15:31:50"),
        ("now+2h", "2026-01-02 17:30:20"),
        ("now+2hours", "2026-01-02 17:30:20"),
        ("NOW+1day", "2026-01-03 15:30:20"),
        ("16:00", "2026-01-02 16:00:00"),
        ("15:30", "2026-01-03 15:30:00"),
        ("9:05:07", "2026-01-03 09:05:07"),
        ("today", "2026-01-02 00:00:00"),
        ("today 9:00", "2026-01-02 09:00:00"),
        ("tomorrow", "2026-01-03 00:00:00"),
        ("tomorrow 23:59", "2026-01-03 23:59:00"),
        ("2026-12-24", "2026-12-24 00:00:00"),
        ("2026-12-24T18:00", "2026-12-24 18:00:00"),
        ("2026-12-24 18:00:01", "2026-12-24 18:00:01"),
        ("4pm", "2026-01-02 16:00:00"),
        ("12am", "2026-01-03 00:00:00"),
        ("12:30 PM", "2026-01-03 12:30:00"),
        ("noon", "2026-01-03 12:00:00"),
        ("midnight", "2026-01-03 00:00:00"),
        ("teatime", "2026-01-02 16:00:00"),
        ("tomorrow noon", "2026-01-03 12:00:00"),
        ("12/24/26", "2026-12-24 00:00:00"),
        ("122426", "2026-12-24 00:00:00"),
        ("12/24/26 6pm", "2026-12-24 18:00:00"),
    ],
)
def test_a_time(text: str, expected: str) -> None:
    at = moment(text, ZoneInfo("UTC"), NOW)
    assert datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "25:00", "9", "2026-02-30", "now-1h", "now+1x", "today tomorrow"),
        *("\u0661:00", "0am", "13pm", "pm", "13/01/26", "12/2426", "noon noon", "9:5"),
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time; write now"):
        moment(text, ZoneInfo("UTC"), NOW)


def test_the_clocks_of_a_zone() -> None:
    at = moment("tomorrow 9:00", BERLIN, NOW)
    assert (written(at, BERLIN), written(at, ZoneInfo("UTC"))) == (
        "2026-01-03 09:00",
        "2026-01-03 08:00",
    )
