"""Who is served first: priority, then a score that grows without bound while a job waits.

The score is a sum of logarithms, each with a weight of the configuration:

- expansion: (waiting time + limit) / limit, the expansion factor of XFactor and WFP scheduling
  (Chiang, Arpaci-Dusseau and Vernon, JSSPP 2002; Tang et al., IPDPS 2010): who declares a short
  limit is served sooner, and nobody is forgotten;
- age: the time waited, whatever the limit;
- brevity: a short limit, from the first moment on;
- size: many GPUs, since they are hard to come by;
- fair share: what its owner used lately counts against it.

Whoever has waited longer than ``patience`` goes first, in the order of waiting, whatever the rest.
Whoever was switched out at the limit goes last for a minute, so that those who waited come next.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from mgpu.core.policy import effective_limit
from mgpu.core.queue import Line
from mgpu.core.share import STEEPNESS, commitment, share, weight
from mgpu.core.world import World
from mgpu.model.job import Job, JobSpec, Pending
from mgpu.model.time import Now

#: What a job without a limit counts as, in seconds.
LONGEST: Final = 1000 * 3600.0
_HOUR: Final = 3600.0
#: Seconds for which a job that was switched out at its limit lets everybody else go first.
TURN: Final = 60.0
_OVERDUE: Final = 1e9


class Factors(NamedTuple):
    """What a job's rank is made of: priority first, then the sum of the others."""

    priority: int
    expansion: float
    age: float
    brevity: float
    size: float
    fairshare: float

    @property
    def score(self) -> float:
        """The sum of all but the priority."""
        return sum(self[1:])


class Scorer:
    """Scores jobs at one instant. What is the same for an owner or a shape is worked out once."""

    def __init__(self, world: World, now: Now) -> None:
        self._world = world
        self._now = now
        self._fair = world.policy.order == "fairshare"
        self._terms: dict[int, tuple[float, float]] = {}
        self._weights: dict[tuple[int, str], float] = {}
        self._started: dict[int, float] = {}

    def __call__(self, line: Line, job: Job) -> tuple[int, float]:
        """The priority and the score of a job in a line."""
        return band(self._world, job), self._points(line, job) if self._fair else 0.0

    def _points(self, line: Line, job: Job) -> float:
        waited = max(0.0, self._now.wall - since(job))
        policy = self._world.policy
        if waited < TURN and _had_its_turn(job):
            return waited - _OVERDUE
        if policy.patience and waited > policy.patience:
            return _OVERDUE + waited
        terms = self._terms.get(line.kind)
        if terms is None:
            terms = self._terms[line.kind] = self._of_shape(job.spec)
        length, fixed = terms
        return (
            policy.weight_expansion * math.log2((waited + length) / length)
            + policy.weight_age * math.log2(1.0 + waited / _HOUR)
            + fixed
            + self._fairness(line.key.uid, line.key.user, line.key.project)
        )

    def factors(self, job: Job) -> Factors:
        """What the score of a job is made of; see :class:`Factors`."""
        policy = self._world.policy
        waited = max(0.0, self._now.wall - since(job))
        length = _length(self._world, job.spec)
        return Factors(
            band(self._world, job),
            policy.weight_expansion * math.log2((waited + length) / length),
            policy.weight_age * math.log2(1.0 + waited / _HOUR),
            _brevity(self._world, job.spec),
            _size(self._world, job.spec),
            self._fairness(job.uid, job.user, job.spec.project),
        )

    def started(self, job: Job) -> None:
        """Count a start of this pass."""
        gpu_seconds = commitment(job.spec, self._world.policy)
        self._started[job.uid] = self._started.get(job.uid, 0.0) + gpu_seconds

    def _fairness(self, uid: int, user: str, project: str) -> float:
        policy, world = self._world.policy, self._world
        if not policy.weight_fairshare:
            return 0.0
        owner = (uid, project)
        if owner not in self._weights:
            self._weights[owner] = weight(policy, user, world.groups_of(uid), project)
        extra = self._started.get(uid, 0.0)
        has = share(world, uid, self._now.wall, extra) / self._weights[owner]
        return -policy.weight_fairshare * math.log2(1.0 + STEEPNESS * has)

    def _of_shape(self, spec: JobSpec) -> tuple[float, float]:
        fixed = _brevity(self._world, spec) + _size(self._world, spec)
        return _length(self._world, spec), fixed


def _had_its_turn(job: Job) -> bool:
    """Whether it was put back after a run; one that made room for others keeps its time."""
    return job.restarts > 0 and since(job) > job.submitted


def since(job: Job) -> float:
    """Since when (Unix time) a job waits in its present place."""
    return job.phase.since if isinstance(job.phase, Pending) else job.submitted


def band(world: World, job: Job) -> int:
    """The priority of a job: its own and that of its class."""
    return job.priority + world.policy.class_of(job.spec.qos).priority


def _length(world: World, spec: JobSpec) -> float:
    """The limit that a job is judged by; very short ones are alike."""
    policy = world.policy
    return max(float(effective_limit(spec, policy) or LONGEST), policy.limit_floor)


def _brevity(world: World, spec: JobSpec) -> float:
    return -world.policy.weight_brevity * math.log2(_length(world, spec) / _HOUR)


def _size(world: World, spec: JobSpec) -> float:
    return world.policy.weight_size * math.log2(max(1, spec.gpus))
