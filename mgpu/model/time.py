"""Time as an argument: one value read at the edge and handed down."""

from __future__ import annotations

from typing import Final, NamedTuple

#: While something waits for a Unix time the wall clock is looked at so often: it can be set.
LOOK_AT_WALL: Final = 60.0


class Now(NamedTuple):
    """One instant on two clocks, in seconds.

    ``wall`` is the Unix time: shown and stored, never used for a deadline, since it can be set.
    ``boot`` is CLOCK_BOOTTIME: goes on in suspend, no time step moves it, starts again at a boot.
    """

    wall: float
    boot: float
