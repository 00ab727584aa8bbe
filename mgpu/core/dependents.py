"""Who waits for whom: the waiting jobs that depend on others, found by what they wait for.

What happens to a job concerns few others. They become ``news``, which ``core.dependency`` judges:
a pass costs what changed, not what waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, NamedTuple, TypeVar

from mgpu.core.progress import Place, Progress
from mgpu.model.dependency import AFTER, AFTERCORR, SINGLETON, WHOLE, Condition, Dependency
from mgpu.model.job import Ended, Job
from mgpu.model.tasks import Tasks
from mgpu.model.time import LOOK_AT_WALL, Now

K = TypeVar("K")

#: In the place of a task: every task of the array by itself.
EACH: Final = -2

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


@dataclass(slots=True)
class Follower:
    """How far an array has come in following others, see ``core.following``.

    ``places`` says up to where it has read their progress, ``batch`` is the record of the tasks
    that it let go on last, ``aside`` counts those that it cut without that they may start, and
    ``look`` says at how many ends it is worth while to look again.
    """

    places: dict[int, Place] = field(default_factory=dict)
    batch: int = 0
    aside: int = 0
    look: int = 0

    def place(self, parent: int) -> Place:
        """Up to where the progress of an array is read."""
        return self.places.get(parent, Place())


class Dependents:
    """The index; ``ended`` are the parents that ended since everything was judged last.

    ``conditions_of`` counts the conditions of each user's waiting jobs; ``progress`` is that of
    the arrays that others follow task by task. ``put_off`` are by user the arrays that go on once
    fewer of the user's jobs wait.
    """

    def __init__(self) -> None:
        self.conditions_of: dict[int, int] = {}
        self.news: dict[int, Job] = {}
        self.ended: dict[Parent, End] = {}
        self.progress: dict[int, Progress] = {}
        self.put_off: dict[int, dict[int, Job]] = {}
        self._followers: dict[int, Follower] = {}
        self._batches: dict[int, Job] = {}
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
        if job.id in self._batches:
            its = self._batches[job.id]
            self.news[its.id] = its
        if job.needs is None or isinstance(job.phase, Ended):
            self._followers.pop(job.id, None)
        if isinstance(job.phase, Ended):
            self._batches.pop(job.id, None)
            self._leave(job)
            self._note_end(job, over=over)
        elif origin(job) in self._starts:
            self.news |= self._starts[origin(job)]

    def watched(self) -> set[int]:
        """The jobs and arrays of which waiting jobs are to learn something."""
        return {*self._ends, *self._starts}

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
        end = end_of(job)
        for task in _concerned(job, watched):
            self.ended[origin(job), task] = end
            self.news |= watched.get(task, {})
        if EACH in watched and job.tasks is not None:
            self._progress(origin(job)).note(end.state, job.tasks)
            self.news |= watched[EACH]
        if over:
            self.news |= watched.get(WHOLE, {})

    def learn(self, ends: Ends) -> None:
        """Take over ends that were looked up, after a start."""
        self.ended |= ends
        found: dict[tuple[int, str], list[int]] = {}
        for (number, task), end in ends.items():
            if task != WHOLE and EACH in self._ends.get(number, {}):
                found.setdefault((number, end.state), []).append(task)
        for (number, state), tasks in found.items():
            self._progress(number).note(state, Tasks.of(tasks))

    def _progress(self, number: int) -> Progress:
        return self.progress.setdefault(number, Progress())

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

    # -- judging --------------------------------------------------------------------------------

    def due(self, now: Now) -> list[Job]:
        """Those to be judged now, in order of their ids."""
        self._seen = now
        ripe = {n: job for n, (at, job) in self._ripening.items() if at <= now.wall}
        return [job for _, job in sorted((self.news | ripe).items())]

    def judged(self, job: Job) -> None:
        """Nothing follows for this one until something else happens."""
        self.news.pop(job.id, None)

    def settled(self) -> None:
        """Nothing follows for anybody: what nobody waits for can be forgotten."""
        self.ended.clear()
        for number in [number for number in self.progress if number not in self._ends]:
            del self.progress[number]

    def readmit(self, uid: int) -> None:
        """Those of a user who were put off are to be judged again."""
        self.news |= self.put_off.pop(uid, {})

    def delay(self, job: Job) -> None:
        """It goes on when fewer jobs of its user wait."""
        self.put_off.setdefault(job.uid, {})[job.id] = job

    def follower(self, job: Job) -> Follower:
        """How far a waiting array has come."""
        return self._followers.setdefault(job.id, Follower())

    def batch_of(self, job: Job) -> int:
        """The record of the tasks that an array let go on last, 0 where there is none."""
        follower = self._followers.get(job.id)
        return follower.batch if follower is not None else 0

    def set_batch(self, job: Job, batch: int) -> None:
        """These tasks of an array go on now: what happens to them concerns it."""
        follower = self.follower(job)
        self._batches.pop(follower.batch, None)
        self._batches[batch], follower.batch = job, batch

    def next_change(self) -> float | None:
        """The boot time at which a delay may be over, as of the last :meth:`due`."""
        if not self._ripening:
            return None
        wait = min(at for at, _ in self._ripening.values()) - self._seen.wall
        return self._seen.boot + min(max(wait, 0.0), LOOK_AT_WALL)


def _open(needs: Dependency | None) -> list[Condition]:
    """The conditions that can still come true."""
    return [] if needs is None else [one for one in needs.conditions if not one.never]


def _concerned(job: Job, watched: Iterable[int]) -> set[int]:
    """Of what has ended with a job, the tasks that others wait for, and one in any case."""
    if job.tasks is None:
        return {WHOLE}
    return {job.tasks.first, *(task for task in watched if task in job.tasks)}


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
