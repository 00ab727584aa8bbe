"""Fair share: what each user has used lately, and what that makes of their rank.

Usage is GPU-seconds that fade with a half-life (Slurm: PriorityDecayHalfLife), divided by the
user's weight, and measured by what the whole machine could have given. A running job counts at
once, as if it used up its time limit, so that a user who starts many jobs falls back at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from mgpu.core.policy import Policy, effective_limit
from mgpu.model.job import Job, JobSpec
from mgpu.model.records import Usage

if TYPE_CHECKING:
    from mgpu.core.world import World

#: What a running job without a limit counts for, in seconds.
ASSUMED: Final = 86400.0
#: How steeply usage weighs: a user who had the whole machine for a half-life falls by log2(1 + it).
STEEPNESS: Final = 20.0


def account(uid: int) -> str:
    """The key of a user's usage."""
    return f"user:{uid}"


def decayed(usage: Usage | None, wall: float, half_life: float) -> float:
    """What is left of a usage at the Unix time ``wall``."""
    if usage is None:
        return 0.0
    return float(usage.gpu_seconds * 2.0 ** (-max(0.0, wall - usage.at) / half_life))


def commitment(spec: JobSpec, policy: Policy) -> float:
    """The GPU-seconds that a job counts for while it runs."""
    return spec.gpus * float(effective_limit(spec, policy) or ASSUMED)


def share(world: World, uid: int, wall: float, extra: float = 0.0) -> float:
    """What a user has of the machine: 1.0 is all that it can give in a half-life.

    ``extra`` are GPU-seconds that the world does not know yet.
    """
    half_life = world.policy.half_life
    past = decayed(world.records.get(Usage, account(uid)), wall, half_life)
    running = world.committed.get(uid, 0.0)
    capacity = max(1, len(world.gpus)) * half_life / math.log(2)
    return (past + running + extra) / capacity


def weight(policy: Policy, user: str, groups: tuple[str, ...], project: str) -> float:
    """How much a user may have beside others: own weight times group's times project's."""
    of_group = max((policy.weights.get(f"group:{name}", 1.0) for name in groups), default=1.0)
    known = project in policy.members  # else anybody could name it
    of_project = policy.weights.get(f"project:{project}", 1.0) if known else 1.0
    return policy.weights.get(f"user:{user}", 1.0) * of_group * of_project


def charge(world: World, job: Job, wall: float) -> None:
    """Keep what an attempt that ends at ``wall`` used; only ``core.lifecycle`` may call this."""
    started = job.begun
    if started is None or not job.spec.gpus:
        return
    key = account(job.uid)
    before = decayed(world.records.get(Usage, key), wall, world.policy.half_life)
    used = job.spec.gpus * max(0.0, wall - started.wall)
    world.records.put(Usage(key, before + used, wall))
