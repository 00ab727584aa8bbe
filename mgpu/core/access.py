"""Who may do what. An operation that is missing from the table is denied to everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OWNER: Final = "owner"  # of the job in question; for an operation without one, the caller
OTHER: Final = "other"
ADMIN: Final = "admin"  # came in by the admin socket
ROOT: Final = "root"
RESERVER: Final = "reserver"  # in access.reserve
VIEWER: Final = "viewer"  # in access.see_all

ROLES: Final = frozenset({OWNER, OTHER, ADMIN, ROOT, RESERVER, VIEWER})
#: Those that the configuration gives to people.
GRANTED: Final = frozenset({RESERVER, VIEWER})
_ALL: Final = ROLES - GRANTED
_NOT_OTHER: Final = _ALL - {OTHER}
_ADMIN: Final = frozenset({ADMIN})
_SEEN: Final = _ALL | {VIEWER}  # viewers see of others what administrators do
_OWNER: Final = frozenset({OWNER})

#: operation -> the roles that may. Redaction (``core.redact``) limits what the readers see.
TABLE: Final[Mapping[str, frozenset[str]]] = {
    "ping": _ALL,
    "submit": _ALL,
    "jobs": _SEEN,
    "info": _ALL,
    "wait": _NOT_OTHER,
    "cancel": _NOT_OTHER,
    "priority": _NOT_OTHER,
    "update": _NOT_OTHER,
    "depend": _NOT_OTHER,
    "reserve": _ADMIN | {RESERVER},
    "reservations": _SEEN,
    "unreserve": _ADMIN | {RESERVER},
    "quota_set": _ADMIN,
    "quota_list": _SEEN,
    "quota_remove": _ADMIN,
    "ranks": _ALL,
    "starts": _ALL,
    "why": _ALL,
    "logs": _NOT_OTHER | {VIEWER},
    "news": _ALL,
    "newest": _ALL,
    "stats": _SEEN,
    "signal": _NOT_OTHER,
    "alter": _NOT_OTHER,
    "history": _NOT_OTHER | {VIEWER},
    "submission": _OWNER,
    "attach": _OWNER,  # a terminal is typed into as its user: for nobody else
    "hold": _NOT_OTHER,
    "release": _NOT_OTHER,
    "crons": _NOT_OTHER | {VIEWER},
    "cron_change": _NOT_OTHER,
    "gpu_list": _ALL,
    "gpu_processes": _ALL,
    "gpu_drain": _ADMIN,
    "gpu_resume": _ADMIN,
    "gpu_set": _ADMIN,
    "gpu_ignore": _ADMIN,
    "gpu_unignore": _ADMIN,
    "gpu_simulate": _ADMIN,
    "config": _ADMIN,
    "reload": _ADMIN,
    "status": _ALL,
    "audit": _ADMIN,
    "log_level": _ADMIN,
    "machine_drain": _ADMIN,
    "machine_resume": _ADMIN,
    "shutdown": _ADMIN,
    "requeue": _NOT_OTHER,
    "backup": _ADMIN,
}


def roles(
    *, owner: bool, admin: bool, root: bool, granted: frozenset[str] = frozenset()
) -> frozenset[str]:
    """The roles a caller has towards one job; ``granted`` are those of the configuration."""
    held = {OWNER: owner, OTHER: not owner, ADMIN: admin, ROOT: root}
    return frozenset(role for role, has in held.items() if has) | (granted & GRANTED)


def allowed(
    op: str, *, owner: bool, admin: bool, root: bool, granted: frozenset[str] = frozenset()
) -> bool:
    """Whether the caller may do ``op`` to one job, or at all where no job is in question."""
    held = roles(owner=owner, admin=admin, root=root, granted=granted)
    return bool(TABLE.get(op, frozenset()) & held)


def may_any(op: str, *, admin: bool, root: bool, granted: frozenset[str] = frozenset()) -> bool:
    """Whether the caller may do ``op`` to, or see by it, everybody's: by rank, not as an owner."""
    if admin and allowed(op, owner=False, admin=True, root=root):
        return True
    return bool(TABLE.get(op, frozenset()) & granted & {VIEWER})
