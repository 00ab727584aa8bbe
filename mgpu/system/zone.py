"""Time zones by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mgpu.model.units import quoted

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


def zone_named(name: str) -> ZoneInfo | None:
    """The time zone; None (the machine's) for an empty name. ValueError for an unknown one."""
    from zoneinfo import ZoneInfo  # dear, and most times are the machine's

    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{quoted(name)} is no time zone; write Europe/Berlin or UTC") from None
