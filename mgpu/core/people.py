"""Who may submit, and what a submission gets that does not say it: by users and their groups."""

from __future__ import annotations

from collections.abc import Sequence

from mgpu.core.policy import Defaults, Policy
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.job import Job
from mgpu.model.states import Reason


def is_among(people: frozenset[str], user: str, groups: Sequence[str]) -> bool:
    """Whether a user, or a group of theirs, is named: ``user:ada``, ``group:lab``."""
    if not people:
        return False
    return not people.isdisjoint((f"user:{user}", *(f"group:{name}" for name in groups)))


def problem(policy: Policy, user: str, groups: Sequence[str]) -> str:
    """Why somebody may not run jobs here; empty where they may."""
    if is_among(policy.denied, user, groups):
        return f"{user} may not run jobs here (access.deny)"
    if policy.submitters and not is_among(policy.submitters, user, groups):
        return f"{user} is not among those who may run jobs here (access.submit)"
    return ""


def check(policy: Policy, user: str, groups: Sequence[str]) -> None:
    """Refuse a submission of somebody who may not."""
    if why := problem(policy, user, groups):
        raise MgpuError("AccountRefused", why, hint="ask the administrator of this machine")


def bar(world: World, job: Job) -> tuple[str, str] | None:
    """Why a waiting job is not started: its owner may not run jobs any more."""
    policy = world.policy
    if not (policy.denied or policy.submitters):
        return None
    why = problem(policy, job.user, world.groups_of(job.uid))
    return (Reason.INVALID_ACCOUNT, why) if why else None


def may_raise(policy: Policy, user: str, groups: Sequence[str]) -> bool:
    """Whether somebody may pass the highest priority that users may give."""
    return is_among(policy.raisers, user, groups)


#: For those who are in no group that has some.
NONE = Defaults("")


def defaults_of(policy: Policy, groups: Sequence[str]) -> Defaults:
    """Those of the first table that names a group of somebody's."""
    return next((one for one in policy.defaults if one.group in groups), NONE)
