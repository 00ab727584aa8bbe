"""Requests about reservations and quotas: administrators order, everybody may look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mgpu.core import orders as core
from mgpu.core import quotas, reservations, serving
from mgpu.core.administration import HORIZON, occurrences
from mgpu.core.tally import Owner
from mgpu.core.world import World
from mgpu.daemon.accounts import Account
from mgpu.daemon.engine import Ask
from mgpu.model.errors import MgpuError
from mgpu.model.records import Quota, Reservation
from mgpu.model.time import Now
from mgpu.model.units import format_duration
from mgpu.protocol import names, orders
from mgpu.system import cron
from mgpu.system.zone import zone_named

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher


def reserve(desk: Dispatcher, conn: Connection, request: orders.Reserve, now: Now) -> None:
    """Make a reservation. Who is no administrator switches nobody out."""
    if request.preempt and not conn.admin:
        hint = "leave --preempt away, or ask an administrator"
        raise MgpuError("Denied", "this is for administrators", path="preempt", hint=hint)
    order = _order(desk.engine.world, request, conn.uid, request.zone or desk.rules.zone, now)
    desk.change(conn, names.RESERVE, Ask(order, desk.answer(conn), conn.uid, request.key))


def unreserve(desk: Dispatcher, conn: Connection, request: orders.Unreserve, now: Now) -> None:
    """Take a reservation back."""
    order = core.Unreserve(conn.uid, request.id, conn.admin)
    desk.order(conn, names.UNRESERVE, order)


def list_reservations(
    desk: Dispatcher, conn: Connection, _request: orders.Reservations, now: Now
) -> None:
    """The reservations: times and GPUs for everybody, whose they are for those and for admins."""
    may_any = desk.may_any(conn, names.RESERVATIONS)

    def known(account: Account, at: Now) -> None:
        world = desk.engine.world
        chosen = reservations.derive(world, at).chosen
        rows = [
            _reservation(world, one, chosen.get(one.id, one.gpus), account, at, may_any=may_any)
            for one in world.records.all(Reservation)
        ]
        gpus = [gpu.index for gpu in world.gpus.values()]
        body = {"now": at.wall, "zone": desk.rules.zone, "gpus": gpus, "reservations": rows}
        desk.ok(conn, body, at)

    _with_account(desk, conn, names.RESERVATIONS, known, now)


def set_quota(desk: Dispatcher, conn: Connection, request: orders.QuotaSet, now: Now) -> None:
    """Set bounds."""
    bounds: dict[str, Any] = dict(request.bounds) | dict.fromkeys(request.lift)
    if "gpu_seconds" in bounds:
        seconds = bounds.pop("gpu_seconds")
        bounds["gpu_hours"] = None if seconds is None else seconds / quotas.HOUR
    if request.period is not None:
        bounds["period"] = request.period
    order = core.SetQuota(conn.uid, request.subject, bounds)
    desk.order(conn, names.QUOTA_SET, order)


def remove_quota(desk: Dispatcher, conn: Connection, request: orders.QuotaRemove, now: Now) -> None:
    """Take a quota back."""
    order = core.RemoveQuota(conn.uid, request.subject)
    desk.order(conn, names.QUOTA_REMOVE, order)


def list_quotas(desk: Dispatcher, conn: Connection, _request: orders.QuotaList, now: Now) -> None:
    """All quotas for administrators, for others those that bind them."""
    may_any = desk.may_any(conn, names.QUOTA_LIST)

    def known(account: Account, at: Now) -> None:
        world = desk.engine.world
        bounds = _all_bounds(world) if may_any else _own_bounds(world, account)
        rows = [_quota(world, subject, quota, at) for subject, quota in bounds]
        desk.ok(conn, {"now": at.wall, "quotas": rows}, at)

    _with_account(desk, conn, names.QUOTA_LIST, known, now)


# -- helpers --------------------------------------------------------------------------------------


def _with_account(
    desk: Dispatcher, conn: Connection, op: str, then: Callable[[Account, Now], None], now: Now
) -> None:
    """Go on with the caller's account; one that cannot be told has no name and no groups."""

    def resolved(account: Account | MgpuError, at: Now) -> None:
        if conn.gone:
            return
        known = account if isinstance(account, Account) else Account(conn.uid, "", "")
        with desk.answering(conn, op, at):
            then(known, at)

    desk.accounts.lookup(conn.uid, resolved, now)


def _order(world: World, request: orders.Reserve, uid: int, zone: str, now: Now) -> core.Reserve:
    start = None if request.start is None else float(request.start)
    duration = request.duration
    if duration is None:
        assert request.end is not None  # noqa: S101 - the parser saw to it
        duration = int(request.end - (now.wall if start is None else start))
        if duration < 1:
            raise MgpuError("BadRequest", "it would end before it begins", path="end")
        if duration > orders.LONGEST:
            most = format_duration(orders.LONGEST)
            raise MgpuError("BadRequest", f"it would last longer than {most}", path="end")
    _check_cron(request.cron, zone)
    return core.Reserve(
        uid,
        request.name,
        duration,
        start,
        request.count,
        serving.uuids_of(world, request.gpus, "gpus"),
        request.users,
        request.groups,
        request.projects,
        request.cron,
        zone,
        request.preempt,
    )


def _check_cron(expression: str, zone: str) -> None:
    try:
        zone_named(zone)
    except ValueError as error:
        raise MgpuError("BadRequest", str(error), path="zone") from None
    try:
        if expression:
            cron.check(expression, zone)
    except ValueError as error:
        raise MgpuError("BadRequest", str(error), path="cron") from None


def _reservation(
    world: World,
    one: Reservation,
    chosen: Sequence[str],
    account: Account,
    now: Now,
    *,
    may_any: bool,
) -> dict[str, Any]:
    mine = account.user in one.users or not set(account.groups).isdisjoint(one.groups)
    shown = mine or may_any
    return {
        "id": one.id,
        "name": one.name if shown else "",
        "start": one.start,
        "end": one.end,
        "active": one.start <= now.wall < one.end,
        "count": one.count or len(one.gpus),
        "exact": bool(one.gpus),
        "gpus": sorted(world.gpus[uuid].index for uuid in chosen if uuid in world.gpus),
        "users": list(one.users) if shown else [],
        "groups": list(one.groups) if shown else [],
        "projects": list(one.projects),
        "cron": one.cron,
        "zone": one.zone,
        "preempt": one.preempt,
        "mine": mine,
        "nobody": not (one.users or one.groups or one.projects),
        "starts": list(occurrences(world, one, now.wall + HORIZON)),
    }


def _all_bounds(world: World) -> list[tuple[str, Quota]]:
    return [(quota.subject, quota) for quota in world.records.all(Quota)]


def _own_bounds(world: World, account: Account) -> list[tuple[str, Quota]]:
    """Those of the user and the groups, and of projects in which jobs of the user are."""
    projects = {
        owner.project
        for owner in (*world.tally.running, *world.tally.queued)
        if owner.uid == account.uid
    }
    found: dict[str, Quota] = {}
    for project in ["", *sorted(projects)]:
        owner = Owner(account.uid, account.user, project)
        found.update(quotas.bounds(world, owner, account.groups))
    return list(found.items())


def _quota(world: World, subject: str, quota: Quota, now: Now) -> dict[str, Any]:
    row: dict[str, Any] = {
        "subject": subject,
        "running_gpus": quota.running_gpus,
        "running_jobs": quota.running_jobs,
        "gpu_memory": quota.gpu_memory,
        "queued_jobs": quota.queued_jobs,
        "gpu_hours": quota.gpu_hours,
        "period": quota.period,
        "renewed": quotas.window(quota, now.wall) + quota.period,
        "used": None,
    }
    if not subject.startswith("default:"):
        theirs = quotas.counts(world, subject)
        load = world.tally.load(theirs)
        row["used"] = {
            "running_gpus": load.gpus,
            "running_jobs": load.jobs,
            "gpu_memory": load.memory,
            "queued_jobs": world.tally.waiting(theirs),
            "gpu_hours": quotas.used(world, now, subject, quota) / quotas.HOUR,
        }
    return row


#: request -> the operation as the role table names it, and what answers it.
HANDLERS: dict[type, tuple[str, Callable[[Any, Any, Any, Now], None]]] = {
    orders.Reserve: (names.RESERVE, reserve),
    orders.Unreserve: (names.UNRESERVE, unreserve),
    orders.Reservations: (names.RESERVATIONS, list_reservations),
    orders.QuotaSet: (names.QUOTA_SET, set_quota),
    orders.QuotaRemove: (names.QUOTA_REMOVE, remove_quota),
    orders.QuotaList: (names.QUOTA_LIST, list_quotas),
}
