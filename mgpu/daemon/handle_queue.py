"""Requests about the order of the queue. What they tell is not private: see ``core.redact``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from mgpu.core import arrays
from mgpu.core.forecast import first_in_line, forecast
from mgpu.core.order import Scorer
from mgpu.core.why import why
from mgpu.core.world import World
from mgpu.model.job import Job
from mgpu.model.target import Name
from mgpu.model.time import Now
from mgpu.protocol import names, questions

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher


def ranks(desk: Dispatcher, conn: Connection, request: questions.Ranks, now: Now) -> None:
    """The jobs in line, in order, with the factors of their ranks."""
    world = desk.engine.world
    score = Scorer(world, now)
    rows = []
    for job in first_in_line(world, now, request.limit):
        made_of = score.factors(job)
        rows.append([*_head(job), *made_of[:1], made_of.score, *made_of[1:]])
    desk.ok(conn, {"rows": rows, "order": world.policy.order}, now)


def starts(desk: Dispatcher, conn: Connection, request: questions.Starts, now: Now) -> None:
    """Expected starts as (id, array, tasks, user, Unix time, GPUs, after which job)."""
    world = desk.engine.world
    wanted = {job.id for job in _named(world, request.jobs)}
    found = sorted(forecast(world, now, wanted).items(), key=lambda pair: pair[1].wall)
    rows = [
        [*_head(world.jobs[number]), at.wall, list(at.gpus), at.after]
        for number, at in found
        if number in world.jobs and (not request.jobs or number in wanted)
    ]
    desk.ok(conn, {"now": now.wall, "rows": rows}, now)


def explain(desk: Dispatcher, conn: Connection, request: questions.Why, now: Now) -> None:
    """Sentences about each job; none for one that is not active."""
    world = desk.engine.world
    jobs = _named(world, request.jobs)
    expected = forecast(world, now, {job.id for job in jobs}) if jobs else {}
    rows = [[*_head(job), job.state, why(world, job, now, expected)] for job in jobs]
    desk.ok(conn, {"rows": rows}, now)


def _named(world: World, names: Iterable[Name]) -> list[Job]:
    """The active jobs of these names, of large arrays only the first ones."""
    parts = chain.from_iterable(arrays.parts(world, name) for name in names)
    found = {job.id: job for job, _ in parts if job.id in world.jobs}
    return list(found.values())[: questions.MOST]


def _head(job: Job) -> list[Any]:
    tasks = "" if job.tasks is None else str(job.tasks)
    return [job.id, job.array, tasks, job.user]


HANDLERS: dict[type, tuple[str, Callable[..., None]]] = {
    questions.Ranks: (names.RANKS, ranks),
    questions.Starts: (names.STARTS, starts),
    questions.Why: (names.WHY, explain),
}
