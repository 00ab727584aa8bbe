"""Times as people write and read them, on the clocks of a time zone."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from mgpu.model.units import quoted

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_WORDS = "s|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?"
_RELATIVE = rf"(?a)now(?:\+(\d{{1,9}})({_WORDS})?)?"
_DAY = (
    r"(?a)(?:(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"|(?P<m>\d\d)(?P<slash>/?)(?P<d>\d\d)(?P=slash)(?P<y>\d\d)|(?P<word>today|tomorrow))?"
)
_NAMED = {"midnight": 0, "noon": 12, "fika": 15, "teatime": 16}
_CLOCK = rf"(?P<clock>\d{{1,2}}:\d\d(?::\d\d)?(?: ?[ap]m)?|\d{{1,2}} ?[ap]m|{'|'.join(_NAMED)})?"


def moment(text: str, zone: ZoneInfo | None, now: float) -> int:
    """The Unix time of ``now``, ``now+2h``, ``16:00``, ``tomorrow 9:00`` or ``2026-12-24T18:00``.

    These and the others of sbatch: ``4pm``, ``noon``, ``midnight``, ``12/24/26``. A number after
    ``now+`` is in seconds when bare; a time of day alone is the next one to come, a day alone its
    midnight. Raises ValueError for anything else.
    """
    plain = text.strip().lower()
    relative = re.fullmatch(_RELATIVE, plain)
    if relative is not None:
        return int(now) + int(relative[1] or 0) * _UNITS[(relative[2] or "s")[0]]
    parts = re.fullmatch(rf"{_DAY}[t ]?{_CLOCK}", plain)
    if parts is None or not plain:
        raise ValueError(_unclear(text))
    today = datetime.fromtimestamp(now, zone).date()
    try:
        day, clock = _day(parts, today), _clock(parts["clock"] or "midnight")
        at = _at(day or today, clock, zone)
    except ValueError:
        raise ValueError(_unclear(text)) from None
    return at if day or at > now else _at(today + timedelta(days=1), clock, zone)


def midnights(since: float, until: float, most: int) -> list[int]:
    """When the days from ``since`` to ``until`` begin, on the clocks of this process.

    No more than ``most``; the first one is not after ``since``.
    """
    day = datetime.fromtimestamp(since).astimezone().date()
    found: list[int] = []
    while len(found) < most and (begin := _at(day, time(0), None)) < until:
        found.append(begin)
        day += timedelta(days=1)
    return found


def written(wall: float, zone: ZoneInfo | None) -> str:
    """``2026-12-24 18:00``."""
    return datetime.fromtimestamp(wall, zone).strftime("%Y-%m-%d %H:%M")


def _day(parts: re.Match[str], today: date) -> date | None:
    """The day that is named, if one is."""
    if parts["year"] is not None:
        return date(int(parts["year"]), int(parts["month"]), int(parts["day"]))
    if parts["m"] is not None:
        return date(2000 + int(parts["y"]), int(parts["m"]), int(parts["d"]))
    return today + timedelta(days=parts["word"] == "tomorrow") if parts["word"] else None


def _clock(text: str) -> time:
    """The time of day of ``16:00``, ``4pm`` or ``noon``."""
    if text in _NAMED:
        return time(_NAMED[text])
    half = text[-2:] if text.endswith("m") else ""
    hour, minute, second = [*map(int, text.removesuffix(half).split(":")), 0, 0][:3]
    if not half:
        return time(hour, minute, second)
    if not 1 <= hour <= 12:
        raise ValueError(text)
    return time(hour % 12 + 12 * (half == "pm"), minute, second)


def _at(day: date, clock: time, zone: ZoneInfo | None) -> int:
    return int(datetime.combine(day, clock, tzinfo=zone).timestamp())


def _unclear(text: str) -> str:
    forms = "write now+2h, 16:00, 4pm, tomorrow 9:00 or 2026-12-24T18:00"
    return f"{quoted(text)} is not a time; {forms}"
