"""When a cron expression is due, on the clocks of a time zone.

The expression is about what a clock on the wall shows. A time that a change to summer time leaves
out comes as much later as the clock was moved; one that occurs twice counts the first time.
"""

from __future__ import annotations

import re
from datetime import datetime

from mgpu.model.units import quoted
from mgpu.system.zone import zone_named

_FIELDS = 5
#: What a field may be made of. croniter knows more: random (R) and hashed (H) times, which are
#: others each time that somebody asks.
_NAMES = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun"
_FIELD = rf"(?ai)(?:[0-9*,/#?-]|{_NAMES}|l)+"
_WORDS = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)


def check(cron: str, zone: str) -> None:
    """Raise ValueError with what to do unless ``cron`` is due at some time in ``zone``."""
    from croniter import croniter

    zone_named(zone)
    if not _is_plain(cron) or not croniter.is_valid(cron):
        form = "write minute, hour, day, month and weekday, as 0 9 * * 1-5"
        raise ValueError(f"{quoted(cron)} is no cron expression; {form}")
    try:
        next_run(cron, zone, 0.0)
    except ValueError:
        raise ValueError(f"{quoted(cron)} is never due") from None


def _is_plain(cron: str) -> bool:
    fields = cron.split()
    known = all(re.fullmatch(_FIELD, field) for field in fields)
    return cron in _WORDS or (len(fields) == _FIELDS and known)


def next_run(cron: str, zone: str, after: float) -> float:
    """The first Unix time after ``after`` at which ``cron`` is due. Raises ValueError if never."""
    from croniter import croniter

    info = zone_named(zone)
    clock = datetime.fromtimestamp(after, info).replace(tzinfo=None)
    due = croniter(cron, clock)
    while True:
        at = due.get_next(datetime).replace(tzinfo=info).timestamp()
        if at > after:
            return float(at)
