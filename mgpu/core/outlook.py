"""What a pass over the queue found out: who was first to be blocked and what it waits for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mgpu.core.claims import NO_RIGHTS, Claims, Rights, barrier
from mgpu.core.placement import Host, Need, Room
from mgpu.model.job import Job


class Ask(NamedTuple):
    """What a waiting job asks for, were it to start now: ``end`` is its latest end (boot time).

    ``rights`` are the reservations that are for it; ``requeue`` says that it may be switched out.
    ``seed`` is what a random placement follows from.
    """

    need: Need
    end: float
    rights: Rights = NO_RIGHTS
    requeue: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """The first blocked job gets ``gpus`` (indices) no later than ``at`` (boot time).

    ``at`` is infinite when it waits for ``after``, a job without a time limit. ``later`` are the
    GPUs as they will be then, the reserved job in its place: what outlasts ``at`` must fit there,
    and into ``host``.
    """

    job: Job
    gpus: tuple[int, ...]
    at: float
    after: int
    later: dict[str, Room]
    host: Host

    def outlasted_by(self, end: float) -> bool:
        """Whether a job that runs until ``end`` would still run when the reservation begins."""
        return end > self.at or end == math.inf


@dataclass(slots=True)
class Outlook:
    """The state once the starts of a pass are made: what is left, and who is to get what.

    It is true of the world of this ``generation``, and stays so while its own starts happen.
    ``texts`` keeps what was said about it. ``again`` is the boot time at which another pass may
    find more though nothing happened.
    """

    generation: int
    gpuless: int
    rooms: list[Room]
    reservation: Reservation | None = None
    started: set[int] = field(default_factory=set)
    texts: dict[object, tuple[str, str]] = field(default_factory=dict)
    claims: Claims = field(default_factory=dict)
    boot: float = 0.0
    host: Host = field(default_factory=Host)
    again: float | None = None

    def open_to(
        self, ask: Ask, rooms: Sequence[Room] | None = None, at: float | None = None
    ) -> Sequence[Room]:
        """Those of ``rooms`` (None: all) that reservations leave to a job that starts ``at``."""
        rooms = self.rooms if rooms is None else rooms
        if not self.claims:
            return rooms
        begin = self.boot if at is None else at
        end = ask.end - self.boot + begin
        return [r for r in rooms if not self._barred(r.uuid, ask, begin, end)]

    def _barred(self, uuid: str, ask: Ask, begin: float, end: float) -> bool:
        on_gpu = self.claims.get(uuid, ())
        return barrier(on_gpu, ask.rights, begin, end, requeue=ask.requeue) is not None

    def note_start(self, job: int, *, gpuless: bool) -> None:
        """Count a start that is to happen."""
        self.started.add(job)
        self.gpuless += gpuless
