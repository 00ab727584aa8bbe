"""Times as people write and read them, on the clocks of a time zone."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mgpu.model.units import quoted

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_WORDS = "s|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?"
_RELATIVE = rf"(?a)now(?:\+(\d{{1,9}})({_WORDS})?)?"
_DAY = r"(?a)(?:(\d{4})-(\d\d)-(\d\d)|(today|tomorrow))?"
_CLOCK = r"(?:(\d{1,2}):(\d\d)(?::(\d\d))?)?"


def zone_named(name: str) -> ZoneInfo | None:
    """The time zone; None (the machine's) for an empty name. ValueError for an unknown one."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{quoted(name)} is no time zone; write Europe/Berlin or UTC") from None


def moment(text: str, zone: ZoneInfo | None, now: float) -> int:
    """The Unix time of ``now``, ``now+2h``, ``16:00``, ``tomorrow 9:00`` or ``2026-12-24T18:00``.

    A number after ``now+`` is in seconds when bare; a time of day alone is the next one to come,
    a day alone its midnight. Raises ValueError for anything else.
    """
    plain = text.strip().lower()
    relative = re.fullmatch(_RELATIVE, plain)
    if relative is not None:
        return int(now) + int(relative[1] or 0) * _UNITS[(relative[2] or "s")[0]]
    parts = re.fullmatch(rf"{_DAY}[t ]?{_CLOCK}", plain)
    if parts is None or not plain:
        raise ValueError(_unclear(text))
    clock = [int(part or 0) for part in parts.groups()[4:]]
    today = datetime.fromtimestamp(now, zone).date()
    try:
        at = _at(_day(parts, today), clock, zone)
    except ValueError:
        raise ValueError(_unclear(text)) from None
    bare = parts[1] is None and parts[4] is None
    return at if not bare or at > now else _at(today + timedelta(days=1), clock, zone)


def written(wall: float, zone: ZoneInfo | None) -> str:
    """``2026-12-24 18:00``."""
    return datetime.fromtimestamp(wall, zone).strftime("%Y-%m-%d %H:%M")


def _day(parts: re.Match[str], today: date) -> date:
    if parts[1] is not None:
        return date(int(parts[1]), int(parts[2]), int(parts[3]))
    return today + timedelta(days=parts[4] == "tomorrow")


def _at(day: date, clock: list[int], zone: ZoneInfo | None) -> int:
    hour, minute, second = clock
    return int(datetime.combine(day, time(hour, minute, second), tzinfo=zone).timestamp())


def _unclear(text: str) -> str:
    forms = "write now+2h, 16:00, tomorrow 9:00 or 2026-12-24T18:00"
    return f"{quoted(text)} is not a time; {forms}"
