"""Reads the clocks: the only file that does, beside the one of the processes that are root's."""

from __future__ import annotations

import time

from mgpu.model.time import Now


def now() -> Now:
    """This instant on the wall clock and on the clock that no time step moves."""
    wall = time.clock_gettime(time.CLOCK_REALTIME)
    return Now(wall, time.clock_gettime(time.CLOCK_BOOTTIME))
