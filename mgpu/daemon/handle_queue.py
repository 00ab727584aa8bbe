"""Requests about the order of the queue. What they tell is not private: see ``core.redact``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain, islice
from math import inf
from typing import TYPE_CHECKING, Any

from mgpu.core import arrays
from mgpu.core import requests as core
from mgpu.core.decide import decide
from mgpu.core.explain import reason_of
from mgpu.core.forecast import Expected, first_in_line, forecast, foretell, not_before
from mgpu.core.order import Scorer
from mgpu.core.why import why
from mgpu.core.world import World
from mgpu.daemon.targets import as_shown
from mgpu.model.errors import MgpuError
from mgpu.model.job import Job, Pending
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
    """Expected starts as (id, array, tasks, user, Unix time, GPUs, after which job, reason).

    Where no start is known there is a reason, and a time only if it cannot start before then.
    """
    world = desk.engine.world
    named = _named(world, request.jobs)
    expected = forecast(world, now, {job.id for job in named})
    jobs = named if request.jobs else _waiting(world, expected)
    told = [
        (job, expected.get(job.id), not_before(job, now))
        for job in jobs
        if isinstance(job.phase, Pending)
    ]
    told.sort(key=lambda one: one[1].wall if one[1] is not None else one[2] or inf)
    rows = [_start(world, job, at, earliest, now) for job, at, earliest in told]
    desk.ok(conn, {"now": now.wall, "rows": rows}, now)


def foretell_submission(
    desk: Dispatcher, conn: Connection, wish: core.Submit | core.Repeat, now: Now
) -> None:
    """What would become of a submission, of which nothing is kept; refusals are as usual."""
    if isinstance(wish, core.Repeat):
        raise MgpuError("BadRequest", "a recurring job starts by its own times", path="dry")
    world = desk.engine.world
    wish = replace(wish, spec=replace(wish.spec, spec_id=world.next_id))
    start, reason, detail = foretell(world, decide(world, wish, now).events, now)
    body = {"at": start.wall, "gpus": list(start.gpus), "after": start.after} if start else {}
    desk.ok(conn, {"now": now.wall, "reason": reason, "detail": detail, **body}, now)


def news(desk: Dispatcher, conn: Connection, request: questions.News, now: Now) -> None:
    """Answer at once if something has happened since, otherwise as soon as something does."""
    if request.seen == desk.engine.version:
        desk.news.add(conn)
    else:
        desk.ok(conn, {"seen": desk.engine.version}, now)


def _waiting(world: World, expected: Mapping[int, Expected]) -> list[Job]:
    """The jobs whose start is known, and the first ones of the others."""
    others = (
        job
        for job in world.jobs.values()
        if isinstance(job.phase, Pending) and job.id not in expected
    )
    known = [world.jobs[number] for number in expected if number in world.jobs]
    return [*known, *islice(others, questions.MOST)]


def _start(
    world: World, job: Job, at: Expected | None, earliest: float | None, now: Now
) -> list[Any]:
    if at is not None:
        return [*_head(job), at.wall, list(at.gpus), at.after, ""]
    return [*_head(job), earliest, [], "", ": ".join(filter(None, reason_of(world, job, now)))]


def explain(desk: Dispatcher, conn: Connection, request: questions.Why, now: Now) -> None:
    """Sentences about each job that is active; of the caller's own also who is told of what."""
    world = desk.engine.world
    jobs = _named(world, request.jobs)
    expected = forecast(world, now, {job.id for job in jobs}) if jobs else {}
    rows = [[*_head(job), job.state, why(world, job, now, expected)] for job in jobs]
    mine = [(job.id, job.spec.notify) for job in jobs if job.uid == conn.uid]
    told = [[number, *as_shown(notify)] for number, notify in mine if notify is not None]
    desk.ok(conn, {"rows": rows, "notify": told}, now)


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
    questions.News: (names.NEWS, news),
}
