"""How much of one user may wait: jobs, and conditions of jobs that depend on others.

What waits is looked at in each listing and kept in each start of the scheduler; so no request, no
dependency and no retry makes more of it than this.
"""

from __future__ import annotations

from typing import Final

from mgpu.core.world import World
from mgpu.model.dependency import MOST
from mgpu.model.errors import MgpuError

#: Conditions for each job that may wait.
CONDITIONS_EACH: Final = 10


def check_jobs(world: World, uid: int, more: int) -> None:
    """Refuse more jobs than may wait."""
    waiting, bound = world.pending_of.get(uid, 0), world.policy.max_pending_per_user
    if bound and waiting + more > bound:
        raise MgpuError(
            "LimitReached",
            f"{waiting} of your jobs wait; {more} more would pass the limit of {bound}",
            path="count",
            hint="wait until some have started, or cancel some",
        )


def check_apart(world: World, uid: int, more: int) -> None:
    """Refuse more groups of tasks, apart from their arrays, than jobs may wait."""
    waiting, bound = world.pending_of.get(uid, 0), world.policy.max_pending_per_user
    if bound and waiting + more > bound:
        raise MgpuError(
            "LimitReached",
            f"{waiting} jobs of the owner wait; {more} more, apart from their arrays, "
            f"would pass the limit of {bound}",
            path="jobs",
            hint="name whole arrays, or wait until some jobs have started",
        )


def check_conditions(world: World, uid: int, more: int) -> None:
    """Refuse more conditions of waiting jobs than one user may have."""
    known = world.dependents.conditions_of.get(uid, 0)
    bound = max(MOST, CONDITIONS_EACH * world.policy.max_pending_per_user)
    if world.policy.max_pending_per_user and more > 0 and known + more > bound:
        raise MgpuError(
            "LimitReached",
            f"the owner's waiting jobs have {known} conditions; {more} more would pass the limit "
            f"of {bound}",
            path="spec.dependency",
            hint="wait for an array, or for one job that waits for the others",
        )


def are_full(world: World, uid: int, more: int) -> bool:
    """Whether so many jobs of a user wait, with ``more``, that no further tasks are to go on.

    One more than may be submitted: else whoever has submitted all would never go on.
    """
    bound = world.policy.max_pending_per_user
    return bool(bound) and world.pending_of.get(uid, 0) + more > bound


def are_back(world: World, uid: int) -> bool:
    """Whether so many jobs of a user wait to run again that no new task of an array is to start.

    An array counts as one job that waits, but each task of it that has run waits by itself.
    """
    bound = world.policy.max_pending_per_user
    return bool(bound) and world.back_of.get(uid, 0) >= bound
