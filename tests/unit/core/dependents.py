"""A desk with jobs that depend on others: small jobs without GPUs, submitted in one line."""

from __future__ import annotations

from dataclasses import replace

from mgpu.core.dependents import Ends
from mgpu.core.policy import Policy
from mgpu.core.requests import Submit
from mgpu.core.wishes import Accepted
from mgpu.model.dependency import Dependency, parse_dependency
from mgpu.model.events import Refused
from mgpu.model.job import Job
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import UID, Desk, a_spec

SMALL = a_spec(0, limit=600)


def needs(text: str) -> Dependency:
    return parse_dependency(text, lambda back: 100 - back)


def submit(
    desk: Desk,
    text: str = "",
    *,
    known: Ends | None = None,
    tasks: str = "",
    uid: int = UID,
    count: int = 1,
    **fields: object,
) -> int:
    """Submit a job (or an array) without GPUs; its id."""
    number = desk.world.next_id
    spec = replace(SMALL, spec_id=number, **fields)  # type: ignore[arg-type]
    first, _, last = tasks.partition("-")
    its = Tasks(((int(first), int(last), 1),)) if tasks else None
    wanted = needs(text) if text else None
    wish = Submit(uid, f"u{uid}", spec, count=count, tasks=its, needs=wanted, known=known or {})
    reply = desk.ask(wish)
    assert isinstance(reply, Accepted)
    return reply.first


def run(desk: Desk) -> list[int]:
    """One pass, and what it started has begun."""
    started = sorted(desk.run())
    desk.launched(*started)
    return started


def a_desk() -> Desk:
    return Desk(policy=Policy(max_pending_per_user=0, max_gpuless=0))


def told(desk: Desk, number: int) -> str:
    return ": ".join(desk.reason(number))


def refusal(desk: Desk, number: int) -> str:
    return next(e.detail for e in desk.log if isinstance(e, Refused) and e.job == number)


def end(desk: Desk, number: int, how: str) -> None:
    """Let a job end: well, with a code, or by its owner."""
    if how == "cancelled":
        desk.cancel(number)
        if number not in desk.world.jobs:
            return
    desk.end(number, code=0 if how == "well" else 1)


def of_task(desk: Desk, array: int, task: int) -> Job:
    job = desk.world.arrays.find(array, task)
    assert job is not None
    return job
