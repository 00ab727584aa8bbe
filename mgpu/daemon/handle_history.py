"""Requests about the history. What they tell is what the queue tells too: see ``core.redact``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mgpu.core.closing import run_of
from mgpu.daemon.history import Parts
from mgpu.model import states
from mgpu.model.errors import MgpuError
from mgpu.model.runs import Run
from mgpu.model.time import Now
from mgpu.protocol import history, messages, names
from mgpu.store.reports import Question

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher


def stats(desk: Dispatcher, conn: Connection, request: history.Stats, now: Now) -> None:
    """Tables over what has run; they come from a process of their own."""
    desk.refuse_in_recovery()
    if desk.history is None:
        raise MgpuError("Refused", "this scheduler keeps no history")
    until = request.until or now.wall + 1.0  # what ends in this very moment counts

    def answered(answer: Parts | MgpuError, at: Now) -> None:
        if conn.gone:
            return
        with desk.answering(conn, names.STATS, at):
            if isinstance(answer, MgpuError):
                raise answer
            desk.stream(conn, _told(answer, {"since": request.since, "until": until}), at)

    desk.history.ask(conn.uid, _question(desk, conn, request, until, now), answered, now)


def _told(parts: Parts, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in parts:
        yield messages.part(part)
    yield messages.ok(body)


def _question(
    desk: Dispatcher, conn: Connection, request: history.Stats, until: float, now: Now
) -> Question:
    world, rules = desk.engine.world, desk.rules
    may_any = desk.may_any(conn, names.STATS)
    hidden = rules.own_usage and not may_any
    return Question(
        list(request.tables),
        request.since,
        until,
        conn.uid,
        all=may_any and not request.mine,
        own=request.mine or hidden,
        names=rules.open_queue,
        users=list(request.users),
        states=list(request.states),
        projects=list(request.projects),
        jobs=list(request.jobs),
        limit=request.limit,
        top=request.top,
        running=[] if request.until else _running(desk, now),
        days=list(request.days),
        indices={uuid: gpu.index for uuid, gpu in world.gpus.items()},
    )


def _running(desk: Dispatcher, now: Now) -> list[Run]:
    """The attempts that are not over, up to now."""
    placed = desk.engine.world.placed.values()
    return [run_of(desk.engine.world, job, now, states.RUNNING) for job in placed if job.begun]


#: request -> the operation as the role table names it, and what answers it.
HANDLERS: dict[type, tuple[str, Callable[..., None]]] = {history.Stats: (names.STATS, stats)}
