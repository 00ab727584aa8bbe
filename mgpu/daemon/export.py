"""The scheduler's end of the line to the exporter: answers when asked, and never waits for it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any, Final

from mgpu.core.world import World
from mgpu.daemon import outbox
from mgpu.daemon.counts import Counts
from mgpu.daemon.engine import Engine
from mgpu.daemon.line import Line
from mgpu.daemon.loop import Loop
from mgpu.daemon.measures import Sample, samples
from mgpu.daemon.outbox import Outbox
from mgpu.model.events import Event
from mgpu.model.job import Job
from mgpu.model.time import Now
from mgpu.store.base import Batch, Store

#: Seconds between two snapshots, however often somebody asks.
PAUSE: Final = 0.5
_IN_A_MESSAGE: Final = 200


class Export:
    """Counts what happens, and hands out snapshots of it; ``clock`` is for its own cost.

    It counts also while nobody asks, so that whoever begins to is told of all since the start.
    ``users``: whether they are named. ``outbox`` is what sends notices, where some are sent.
    """

    def __init__(self, loop: Loop, clock: Callable[[], Now], *, users: bool) -> None:
        self.counts = Counts()
        self.users = users
        self.outbox: Outbox | None = None
        self._loop = loop
        self._clock = clock
        self._started = clock()
        self._world: Callable[[], World] | None = None
        self._exporter: Line | None = None
        self._last = float("-inf")

    def observe(self, world: Callable[[], World]) -> None:
        """Make snapshots of this world."""
        self._world = world

    def attach(self, fd: int) -> None:
        """Answer the exporter at the other end of ``fd`` from now on."""
        self.detach()
        self._exporter = Line(self._loop, socket.socket(fileno=fd), self._hear, helper="exporter")

    def detach(self) -> None:
        """The line is over."""
        if self._exporter is not None:
            self._exporter.close()
        self._exporter = None

    def heard(self, world: World, events: Iterable[Event], now: Now) -> None:
        """A turn is stored."""
        self.counts.heard(world, events, now)

    def ended(self, world: World, job: Job) -> None:
        """A job is over."""
        self.counts.ended(world, job)

    def turn(self, engine: Engine, now: Now) -> None:
        """Have a turn, and measure it if something happened in it."""
        began, version = self._clock().boot, engine.version
        engine.turn(now)
        if engine.version != version:
            self.counts.observe("mgpu_turn_seconds", self._clock().boot - began)

    def _hear(self, now: Now) -> None:
        line = self._exporter
        asked = line is not None and bool(list(line.messages()))
        if line is None or line.closed:
            self.detach()
        elif asked and now.boot - self._last >= PAUSE:
            self._last = now.boot
            self._answer(line, now)

    def _answer(self, line: Line, now: Now) -> None:
        if self._world is None:
            return
        world = self._world()
        began = self._clock().boot
        found = samples(world, self.counts, self._started, now, users=self.users)
        found += self._notices(world)
        self.counts.observe("mgpu_snapshot_seconds", self._clock().boot - began)
        try:
            line.send({"op": "begin"})
            for start in range(0, len(found), _IN_A_MESSAGE):
                part = [list(one) for one in found[start : start + _IN_A_MESSAGE]]
                line.send({"op": "part", "samples": part})
            line.send({"op": "end"})
        except OSError:
            return  # it is gone or does not read: what it has got is without an end

    def _notices(self, world: World) -> list[Sample]:
        if self.outbox is None:
            return []
        return [
            ("mgpu_notices_waiting", (), outbox.waiting(world)),
            ("mgpu_notices_sent_total", (), self.outbox.delivered),
            ("mgpu_notices_failed_total", (), self.outbox.failed),
            ("mgpu_notices_dropped_total", (), self.outbox.dropped),
        ]


def time_commits(store: Store, counts: Counts, clock: Callable[[], Now]) -> None:
    """Measure each commit of this store from now on."""
    commit = store.commit

    def timed(batch: Batch) -> None:
        began = clock().boot
        commit(batch)
        counts.observe("mgpu_commit_seconds", clock().boot - began)

    store.commit = timed  # type: ignore[method-assign]


def opened(
    settings: dict[str, Any], loop: Loop, clock: Callable[[], Now], outbox: Outbox | None
) -> Export:
    """The part that counts, and tells of the outbox too."""
    found = Export(loop, clock, users=settings["metrics.users"])
    found.outbox = outbox
    return found
