"""Requests about what single jobs are and were, and signals to them."""

from __future__ import annotations

from dataclasses import dataclass

from mgpu.model.target import Name
from mgpu.protocol.fields import Fields, refuse

#: Jobs that one signal may name.
MOST_SIGNALLED = 1000
_LAST_SIGNAL = 64


@dataclass(frozen=True, slots=True)
class Signal:
    """Send the signal ``number`` to these jobs; with ``leader`` to their first process alone."""

    jobs: tuple[Name, ...]
    number: int
    leader: bool


JobRequest = Signal


def parse_signal(fields: Fields) -> Signal:
    """A signal."""
    jobs = fields.names("jobs", MOST_SIGNALLED)
    if not jobs:
        refuse("jobs", "names no job")
    number = fields.integer("signal", 1, _LAST_SIGNAL)
    return Signal(jobs, number, fields.boolean("leader", default=False))
