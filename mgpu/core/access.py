"""Who may do what. An operation that is missing from the table is denied to everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OWNER: Final = "owner"  # of the job in question; for an operation without one, the caller
OTHER: Final = "other"
ADMIN: Final = "admin"  # came in by the admin socket
ROOT: Final = "root"

ROLES: Final = frozenset({OWNER, OTHER, ADMIN, ROOT})
_ALL: Final = ROLES
_NOT_OTHER: Final = ROLES - {OTHER}
_ADMIN: Final = frozenset({ADMIN})
_OWNER: Final = frozenset({OWNER})

#: operation -> the roles that may. Redaction (``core.redact``) limits what the readers see.
TABLE: Final[Mapping[str, frozenset[str]]] = {
    "ping": _ALL,
    "submit": _ALL,
    "jobs": _ALL,
    "info": _ALL,
    "wait": _NOT_OTHER,
    "cancel": _NOT_OTHER,
    "priority": _NOT_OTHER,
    "update": _NOT_OTHER,
    "depend": _NOT_OTHER,
    "reserve": _ADMIN,
    "reservations": _ALL,
    "unreserve": _ADMIN,
    "quota_set": _ADMIN,
    "quota_list": _ALL,
    "quota_remove": _ADMIN,
    "ranks": _ALL,
    "starts": _ALL,
    "why": _ALL,
    "logs": _NOT_OTHER,
    "news": _ALL,
    "signal": _NOT_OTHER,
    "history": _NOT_OTHER,
    "submission": _OWNER,
    "attach": _OWNER,  # a terminal is typed into as its user: for nobody else
    "hold": _NOT_OTHER,
    "release": _NOT_OTHER,
    "crons": _NOT_OTHER,
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


def roles(*, owner: bool, admin: bool, root: bool) -> frozenset[str]:
    """The roles a caller has towards one job."""
    held = {OWNER: owner, OTHER: not owner, ADMIN: admin, ROOT: root}
    return frozenset(role for role, has in held.items() if has)


def allowed(op: str, *, owner: bool, admin: bool, root: bool) -> bool:
    """Whether the caller may do ``op`` to one job, or at all where no job is in question."""
    return bool(TABLE.get(op, frozenset()) & roles(owner=owner, admin=admin, root=root))
