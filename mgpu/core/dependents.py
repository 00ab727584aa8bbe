"""Who waits for whom: the waiting jobs that depend on others, found by what they wait for.

What happens to a job concerns few others. They become ``news``, which ``core.dependency`` judges:
a pass costs what changed, not what waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Final, NamedTuple, TypeVar

from mgpu.model.dependency import AFTER, AFTERCORR, SINGLETON, WHOLE, Condition, Dependency
from mgpu.model.job import Ended, Job
from mgpu.model.time import Now

K = TypeVar("K")

#: In the place of a task: every task of the array by itself.
EACH: Final = -2
#: While jobs wait for a Unix time the wall clock is looked at so often: it can be set.
LOOK_AT_WALL: Final = 60.0

#: A job or array and a task of it (or WHOLE).
Parent = tuple[int, int]
#: The user and the name that ``singleton`` compares.
Namesake = tuple[int, str]


class End(NamedTuple):
    """How a parent ended, and when it began, or ended without that (Unix time)."""

    state: str
    began: float


Ends = Mapping[Parent, End]


def origin(job: Job) -> int:
    """The id that the submission of a job was given: what depends on a task names its array."""
    return job.array or job.id


def end_of(job: Job) -> End:
    """The end of a job that has ended."""
    phase = job.phase
    assert isinstance(phase, Ended)  # noqa: S101 - the caller knows
    return End(phase.state, phase.ended if phase.started is None else phase.started)


def ends_of(jobs: Iterable[Job]) -> dict[Parent, End]:
    """The ends of jobs that have ended, and of the tasks that they stood for."""
    found: dict[Parent, End] = {}
    for job in jobs:
        end = end_of(job)
        tasks = [WHOLE] if not job.array else job.tasks or ()
        found |= {(origin(job), task): end for task in tasks}
    return found


class Dependents:
    """The index; ``ended`` are the parents that ended since everything was judged last.

    ``conditions_of`` counts the conditions of each user's waiting jobs.
    """

    def __init__(self) -> None:
        self.conditions_of: dict[int, int] = {}
        self.news: dict[int, Job] = {}
        self.ended: dict[Parent, End] = {}
        self._ends: dict[int, dict[int, dict[int, Job]]] = {}
        self._starts: dict[int, dict[int, Job]] = {}
        self._single: dict[Namesake, dict[int, Job]] = {}
        self._origins: dict[Namesake, dict[int, int]] = {}
        self._ripening: dict[int, tuple[float, Job]] = {}
        self._seen = Now(0.0, 0.0)

    # -- all active jobs ------------------------------------------------------------------------

    def arrive(self, jobs: Iterable[Job]) -> None:
        """These jobs are active from now on. Only parts of arrays arrive later than they might."""
        for job in sorted(jobs, key=origin):
            origins = self._origins.setdefault((job.uid, job.spec.name), {})
            origins[origin(job)] = origins.get(origin(job), 0) + 1

    def note(self, job: Job, *, over: bool) -> None:
        """Something happened to a job: those whom it concerns are news.

        ``over`` says that no other part of its array is active.
        """
        if isinstance(job.phase, Ended):
            self._leave(job)
            self._note_end(job, over=over)
        elif origin(job) in self._starts:
            self.news |= self._starts[origin(job)]

    def first(self, who: Namesake) -> int:
        """The oldest origin of the active jobs of one user and name; 0 where there are none."""
        return next(iter(self._origins.get(who, {})), 0)

    def older(self, who: Namesake, than: int) -> list[int]:
        """The origins before ``than`` of the active jobs of one user and name."""
        return list(takewhile(lambda its: its < than, self._origins.get(who, {})))

    def _leave(self, job: Job) -> None:
        who, its = (job.uid, job.spec.name), origin(job)
        origins = self._origins[who]
        origins[its] -= 1
        if origins[its]:
            return
        del origins[its]
        if not origins:
            del self._origins[who]
        elif who in self._single:
            oldest = self.first(who)
            self.news |= {n: one for n, one in self._single[who].items() if origin(one) == oldest}

    def _note_end(self, job: Job, *, over: bool) -> None:
        watched = self._ends.get(origin(job))
        if watched is None:
            return
        for parent, end in ends_of([job]).items():
            self.ended[parent] = end
            self.news |= watched.get(parent[1], {})
        self.news |= watched.get(EACH, {})
        if over:
            self.news |= watched.get(WHOLE, {})

    # -- those that depend on others ------------------------------------------------------------

    def add(self, job: Job) -> None:
        """A waiting job depends on others, and is to be judged."""
        self._count(job, job.needs, 1)
        self._watch(job, _open(job.needs))
        self._time(job, job.needs)

    def remove(self, job: Job) -> None:
        """It no longer waits, or is to change."""
        self.news.pop(job.id, None)
        self._count(job, job.needs, -1)
        self._unwatch(job, _open(job.needs))
        self._time(job, None)

    def change(self, job: Job, needs: Dependency) -> None:
        """What it depends on is to change: it costs what is new and what is gone."""
        known, new = _open(job.needs), _open(needs)
        kept, found = set(map(id, new)), set(map(id, known))
        gone = [one for one in known if id(one) not in kept]
        self._count(job, job.needs, -1)
        self._count(job, needs, 1)
        self._unwatch(job, gone)
        about = {one.job for one in gone}  # another one about the same job is watched still
        self._watch(job, [one for one in new if id(one) not in found or one.job in about])
        self._time(job, needs)

    def _watch(self, job: Job, conditions: list[Condition]) -> None:
        self.news[job.id] = job
        for condition in conditions:
            if condition.kind == SINGLETON:
                self._single.setdefault((job.uid, job.spec.name), {})[job.id] = job
            for task in _tasks(job, condition):
                its = self._ends.setdefault(condition.job, {})
                its.setdefault(task, {})[job.id] = job
            if condition.kind == AFTER:
                self._starts.setdefault(condition.job, {})[job.id] = job

    def _unwatch(self, job: Job, conditions: list[Condition]) -> None:
        for condition in conditions:
            if condition.kind == SINGLETON:
                _drop(self._single, (job.uid, job.spec.name), job.id)
            for task in _tasks(job, condition):
                its = self._ends.get(condition.job, {})
                _drop(its, task, job.id)
                if not its:
                    self._ends.pop(condition.job, None)
            if condition.kind == AFTER:
                _drop(self._starts, condition.job, job.id)

    def _time(self, job: Job, needs: Dependency | None) -> None:
        ripe = min((one.ripe for one in _open(needs) if one.ripe), default=math.inf)
        if ripe < math.inf:
            self._ripening[job.id] = (ripe, job)
        else:
            self._ripening.pop(job.id, None)

    def _count(self, job: Job, needs: Dependency | None, sign: int) -> None:
        count = len(needs.conditions) if needs is not None else 0
        total = self.conditions_of.get(job.uid, 0) + sign * count
        if total:
            self.conditions_of[job.uid] = total
        else:
            self.conditions_of.pop(job.uid, None)

    def parents(self) -> set[int]:
        """The jobs and arrays that somebody waits for."""
        return set(self._ends)

    # -- judging --------------------------------------------------------------------------------

    def due(self, now: Now) -> list[Job]:
        """Those to be judged now, in order of their ids."""
        self._seen = now
        ripe = {n: job for n, (at, job) in self._ripening.items() if at <= now.wall}
        return [job for _, job in sorted((self.news | ripe).items())]

    def judged(self, job: Job) -> None:
        """Nothing follows for this one until something else happens."""
        self.news.pop(job.id, None)

    def next_change(self) -> float | None:
        """The boot time at which a delay may be over, as of the last :meth:`due`."""
        if not self._ripening:
            return None
        wait = min(at for at, _ in self._ripening.values()) - self._seen.wall
        return self._seen.boot + min(max(wait, 0.0), LOOK_AT_WALL)


def _open(needs: Dependency | None) -> list[Condition]:
    """The conditions that can still come true."""
    return [] if needs is None else [one for one in needs.conditions if not one.never]


def _tasks(job: Job, condition: Condition) -> set[int]:
    """The tasks of its parent whose ends concern a condition of ``job``."""
    if condition.kind == SINGLETON:
        return set()
    if condition.kind != AFTERCORR or job.tasks is None:
        return {condition.task}
    return {WHOLE, EACH if len(job.tasks) > 1 else job.tasks.first}


def _drop(index: dict[K, dict[int, Job]], key: K, number: int) -> None:
    jobs = index.get(key, {})
    jobs.pop(number, None)
    if not jobs:
        index.pop(key, None)
