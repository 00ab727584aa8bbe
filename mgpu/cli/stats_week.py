"""A week of GPU time, hour by hour: days below each other, the fuller the darker."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

#: From nothing to all of the fullest hour.
SHADES: Final = " .:-=+*#%@"
#: The same on a terminal of 256 colours: backgrounds from dark to bright.
_BACKGROUNDS: Final = (234, 17, 18, 19, 20, 26, 32, 38, 44, 50)
_HOURS: Final = range(24)


def lines(rows: Iterable[list[Any]], *, colours: bool = False) -> list[str]:
    """The lines for rows of (Unix time of an hour, GPU-seconds in it), in the local time zone."""
    days: dict[str, dict[int, float]] = {}
    for wall, seconds in rows:
        at = datetime.fromtimestamp(wall).astimezone()
        day = days.setdefault(at.strftime("%a %m-%d"), {})
        day[at.hour] = day.get(at.hour, 0.0) + seconds / 3600
    most = max((busy for day in days.values() for busy in day.values()), default=0.0)
    head = "".join(f"{hour:<3d}" if hour % 3 == 0 else "" for hour in _HOURS)
    scale = " ".join(f"{SHADES[n]!r} {most * n / 9:.1f}" for n in (1, 5, 9))
    return [
        f"GPUs in use by hour, the last week (at most {most:.1f} at once, in the mean of an hour):",
        f"           {head.rstrip()}",
        *(f"{day}  {_bar(busy, most, colours=colours)}".rstrip() for day, busy in days.items()),
        *([] if colours else [f"{scale} GPUs"]),
    ]


def _bar(busy: dict[int, float], most: float, *, colours: bool) -> str:
    cells = [_level(busy[hour], most) if hour in busy else None for hour in _HOURS]
    if not colours:
        return "".join(" " if level is None else SHADES[level] for level in cells)
    return "".join(
        " " if level is None else f"\x1b[48;5;{_BACKGROUNDS[level]}m \x1b[0m" for level in cells
    )


def _level(busy: float, most: float) -> int:
    """0 for nothing, else 1 to 9."""
    return 0 if busy <= 0 or most <= 0 else max(1, min(9, round(9 * busy / most)))
