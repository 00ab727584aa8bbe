"""Who may do what, and what others see."""

from __future__ import annotations

from itertools import product

import pytest

from mgpu.core.access import (
    ADMIN,
    OTHER,
    OWNER,
    RESERVER,
    ROLES,
    ROOT,
    TABLE,
    VIEWER,
    allowed,
    may_any,
    roles,
)
from mgpu.core.redact import hidden_fields
from mgpu.model.job import Ended, Pending, Phase, Running
from mgpu.testing.builders import EPOCH, a_job, at

EVERYBODY = {OWNER, OTHER, ADMIN, ROOT}
#: The specification: operation -> who may.
MAY = {
    "ping": EVERYBODY,
    "submit": EVERYBODY,
    "jobs": {*EVERYBODY, VIEWER},
    "info": EVERYBODY,
    "wait": {OWNER, ADMIN, ROOT},
    "cancel": {OWNER, ADMIN, ROOT},
    "priority": {OWNER, ADMIN, ROOT},
    "update": {OWNER, ADMIN, ROOT},
    "depend": {OWNER, ADMIN, ROOT},
    "reserve": {ADMIN, RESERVER},
    "reservations": {*EVERYBODY, VIEWER},
    "unreserve": {ADMIN, RESERVER},
    "quota_set": {ADMIN},
    "quota_list": {*EVERYBODY, VIEWER},
    "quota_remove": {ADMIN},
    "ranks": EVERYBODY,
    "starts": EVERYBODY,
    "why": EVERYBODY,
    "logs": {OWNER, ADMIN, ROOT, VIEWER},
    "news": EVERYBODY,
    "newest": EVERYBODY,
    "stats": {*EVERYBODY, VIEWER},
    "signal": {OWNER, ADMIN, ROOT},
    "alter": {OWNER, ADMIN, ROOT},
    "history": {OWNER, ADMIN, ROOT, VIEWER},
    "submission": {OWNER},
    "attach": {OWNER},
    "hold": {OWNER, ADMIN, ROOT},
    "release": {OWNER, ADMIN, ROOT},
    "crons": {OWNER, ADMIN, ROOT, VIEWER},
    "cron_change": {OWNER, ADMIN, ROOT},
    "gpu_list": EVERYBODY,
    "gpu_processes": EVERYBODY,
    "gpu_drain": {ADMIN},
    "gpu_resume": {ADMIN},
    "gpu_set": {ADMIN},
    "gpu_ignore": {ADMIN},
    "gpu_unignore": {ADMIN},
    "gpu_simulate": {ADMIN},
    "config": {ADMIN},
    "reload": {ADMIN},
    "status": EVERYBODY,
    "audit": {ADMIN},
    "log_level": {ADMIN},
    "machine_drain": {ADMIN},
    "machine_resume": {ADMIN},
    "shutdown": {ADMIN},
    "requeue": {OWNER, ADMIN, ROOT},
    "backup": {ADMIN},
}
CALLERS = list(product((False, True), repeat=3))


def test_the_table_says_what_the_specification_says() -> None:
    assert dict(TABLE) == MAY
    assert {*EVERYBODY, RESERVER, VIEWER} == ROLES


@pytest.mark.parametrize(("owner", "admin", "root"), CALLERS)
@pytest.mark.parametrize("op", MAY)
def test_every_caller_and_operation(op: str, owner: bool, admin: bool, root: bool) -> None:
    held = {OWNER: owner, OTHER: not owner, ADMIN: admin, ROOT: root}
    may = any(has and role in MAY[op] for role, has in held.items())
    assert allowed(op, owner=owner, admin=admin, root=root) == may


@pytest.mark.parametrize(("owner", "admin", "root"), CALLERS)
def test_an_unknown_operation_is_denied_to_everybody(owner: bool, admin: bool, root: bool) -> None:
    assert not allowed("chown", owner=owner, admin=admin, root=root)


def test_roles_add_up_and_nobody_is_both_owner_and_other() -> None:
    assert roles(owner=True, admin=True, root=True) == {OWNER, ADMIN, ROOT}
    assert roles(owner=False, admin=False, root=False) == {OTHER}


@pytest.mark.parametrize("op", MAY)
def test_what_the_configuration_grants(op: str) -> None:
    rank = {"admin": False, "root": False}
    for role in (RESERVER, VIEWER):
        given = frozenset({role})
        usual = OTHER in MAY[op]
        assert allowed(op, owner=False, **rank, granted=given) == (usual or role in MAY[op])
    assert may_any(op, **rank, granted=frozenset({VIEWER})) == (VIEWER in MAY[op])
    assert not may_any(op, **rank, granted=frozenset({RESERVER, ADMIN, ROOT}))
    assert may_any(op, admin=True, root=False) == (ADMIN in MAY[op])


PRIVATE_DETAIL = Ended("LAUNCH_FAILED", EPOCH, detail="open: ENOENT: /home/u/x")
REFUSED = Pending(EPOCH, 5.0, "InvalidAccount", "u has expired")


@pytest.mark.parametrize("phase", [PRIVATE_DETAIL, REFUSED, Pending(EPOCH)])
@pytest.mark.parametrize(("mine", "may_any"), [(True, False), (False, True), (True, True)])
def test_owner_and_administrators_see_everything(phase: Phase, mine: bool, may_any: bool) -> None:
    job = a_job(1, phase)
    assert not hidden_fields(job, mine=mine, may_any=may_any, open_queue=False)


@pytest.mark.parametrize(
    ("phase", "detail_hidden"),
    [
        (Pending(EPOCH), False),
        (REFUSED, True),
        (PRIVATE_DETAIL, True),
        (Running((), at(0), 1, 1), True),
    ],
)
def test_others_see_neither_names_nor_paths(phase: Phase, detail_hidden: bool) -> None:
    job = a_job(1, phase)
    detail = {"detail"} if detail_hidden else set()
    shut = hidden_fields(job, mine=False, may_any=False, open_queue=False)
    assert shut == {"name", "command", "cwd", "project"} | detail
    unlocked = hidden_fields(job, mine=False, may_any=False, open_queue=True)
    assert unlocked == {"cwd", "project"} | detail
