"""Requests that hold jobs back, let them go on, and care for recurring ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mgpu.core import requests as core
from mgpu.model.records import Recurring
from mgpu.model.time import Now
from mgpu.protocol import keeping, names

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher


def hold(desk: Dispatcher, conn: Connection, request: keeping.Hold, now: Now) -> None:
    """Keep jobs from starting."""
    may_any = desk.may_any(conn, names.HOLD)
    wish = core.Hold(request.jobs, conn.uid, may_any)
    desk.change_jobs(conn, names.HOLD, wish)


def release(desk: Dispatcher, conn: Connection, request: keeping.Release, now: Now) -> None:
    """Let jobs go on."""
    may_any = desk.may_any(conn, names.RELEASE)
    wish = core.Release(request.jobs, conn.uid, may_any, request.begin)
    desk.change_jobs(conn, names.RELEASE, wish)


def crons(desk: Dispatcher, conn: Connection, _request: keeping.Crons, now: Now) -> None:
    """The caller's recurring jobs; for administrators everybody's."""
    may_any = desk.may_any(conn, names.CRONS)
    found = desk.engine.world.records.all(Recurring)
    rows = [_row(one) for one in found if may_any or one.uid == conn.uid]
    desk.ok(conn, {"now": now.wall, "recurring": rows}, now)


def change(desk: Dispatcher, conn: Connection, request: keeping.CronChange, now: Now) -> None:
    """Pause, resume or remove recurring jobs."""
    may_any = desk.may_any(conn, names.CRON_CHANGE)
    wish = core.ChangeRepeat(request.numbers, request.how, conn.uid, may_any)
    desk.order(conn, names.CRON_CHANGE, wish)


def _row(one: Recurring) -> dict[str, Any]:
    return {
        "id": one.id,
        "user": one.user,
        "name": one.spec.name,
        "command": one.spec.command,
        "cron": one.cron,
        "zone": one.zone,
        "next": one.next,
        "paused": one.paused,
        "by_admin": one.by_admin,
        "overlap": one.overlap,
        "missed": one.missed,
        "last": one.active,
        "left_out": one.left_out,
        "note": one.note,
    }


HANDLERS: dict[type, tuple[str, Callable[..., None]]] = {
    keeping.Hold: (names.HOLD, hold),
    keeping.Release: (names.RELEASE, release),
    keeping.Crons: (names.CRONS, crons),
    keeping.CronChange: (names.CRON_CHANGE, change),
}
