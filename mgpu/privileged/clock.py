"""The clocks of the root-owned processes; nothing else in this package reads one."""

from __future__ import annotations

import time

_DAY = 86400


def boot() -> float:
    """Seconds since the machine started, suspended time included: what deadlines are made of."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall() -> float:
    """The Unix time: to be shown and stored, never to be waited for."""
    return time.time()


def today() -> int:
    """Days since 1970, as shadow(5) counts them."""
    return int(time.time()) // _DAY
