"""What a pass over the queue found out: who was first to be blocked and what it waits for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mgpu.core.placement import Room
from mgpu.model.job import Job


@dataclass(frozen=True, slots=True)
class Reservation:
    """The first blocked job gets ``gpus`` (indices) no later than ``at`` (boot time).

    ``at`` is infinite when it waits for ``after``, a job without a time limit. ``later`` are the
    GPUs as they will be then, the reserved job in its place: what outlasts ``at`` must fit there.
    """

    job: Job
    gpus: tuple[int, ...]
    at: float
    after: int
    later: dict[str, Room]

    def outlasted_by(self, end: float) -> bool:
        """Whether a job that runs until ``end`` would still run when the reservation begins."""
        return end > self.at or end == math.inf


@dataclass(slots=True)
class Outlook:
    """The state once the starts of a pass are made: what is left, and who is to get what.

    It is true of the world of this ``generation``, and stays so while its own starts happen.
    ``texts`` keeps what was said about it.
    """

    generation: int
    gpuless: int
    rooms: list[Room]
    reservation: Reservation | None = None
    started: set[int] = field(default_factory=set)
    texts: dict[object, tuple[str, str]] = field(default_factory=dict)

    def note_start(self, job: int, *, gpuless: bool) -> None:
        """Count a start that is to happen."""
        self.started.add(job)
        self.gpuless += gpuless
