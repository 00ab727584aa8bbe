"""The waiting jobs, in the order in which they are to start.

Jobs of one owner that ask for the same thing wait in one line, first come first served within a
priority. Lines are ranked by priority and score (see ``core.order``); scores are as old as
``RANKED_FOR`` at the most, except where a start of the present pass lowers them. Who cannot start
yet waits apart: ``parked`` (held, or depends on others), ``later`` (not before a Unix time),
``delayed`` (in a back-off, not before a boot time).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from mgpu.core.placement import Need, need_of
from mgpu.model.job import Job, JobSpec, Pending, Shape
from mgpu.model.time import LOOK_AT_WALL, Now

#: Seconds for which a ranking holds (Slurm: PriorityCalcPeriod).
RANKED_FOR: Final = 30.0

Rank = tuple[int, int, int]
#: (-priority, -score, seq, id, line): the smaller, the earlier.
Entry = tuple[int, float, int, int, "Line"]


class Key(NamedTuple):
    """What is the same for all jobs of a line."""

    shape: Shape
    uid: int
    user: str
    project: str
    qos: str
    requeue: bool


#: (priority, score) of a job in a line; the higher, the earlier.
Score = Callable[["Line", Job], tuple[int, float]]


def rank(job: Job) -> Rank:
    """The place of a job in its line: the smaller, the earlier.

    Records of one array have one ``seq`` until they are put back; their order is that of tasks.
    """
    return (-job.priority, job.seq, job.tasks.first if job.tasks is not None else 0)


def eligible_at(job: Job) -> float:
    """The boot time before which a waiting job is not started."""
    return job.phase.eligible if isinstance(job.phase, Pending) else 0.0


def key_of(job: Job) -> Key:
    """The line that a job waits in."""
    spec = job.spec
    return Key(spec.shape, job.uid, job.user, spec.project, spec.qos, spec.requeue)


def _delay(job: Job) -> tuple[float, int]:
    return (eligible_at(job), job.id)


def _begin(job: Job) -> tuple[float, int]:
    return (job.begin, job.id)


def _take_due(apart: list[Job], order: Callable[[Job], tuple[float, int]], at: float) -> list[Job]:
    """Take out the jobs that wait apart until ``at`` or earlier."""
    due = 0
    while due < len(apart) and order(apart[due])[0] <= at:
        due += 1
    ready = apart[:due]
    del apart[:due]
    return ready


class Line:
    """Waiting jobs of one key, in order. ``kind`` is the same for lines that differ in owner."""

    __slots__ = ("entry", "jobs", "key", "kind", "need", "spec")

    def __init__(self, key: Key, spec: JobSpec, kind: int) -> None:
        self.key = key
        self.kind = kind
        self.spec = spec
        self.need: Need = need_of(spec)
        self.jobs: list[Job] = []
        self.entry: Entry | None = None

    def add(self, jobs: list[Job]) -> None:
        """Insert jobs that are in order among themselves."""
        if len(jobs) == 1:
            insort(self.jobs, jobs[0], key=rank)
            return
        in_order = not self.jobs or rank(self.jobs[-1]) < rank(jobs[0])
        self.jobs.extend(jobs)
        if not in_order:
            self.jobs.sort(key=rank)

    def remove(self, job: Job) -> None:
        """Take one job out; raises KeyError where it is not."""
        place = bisect_left(self.jobs, rank(job), key=rank)
        if place == len(self.jobs) or self.jobs[place] is not job:
            raise KeyError(job.id)
        del self.jobs[place]


class Queue:
    """All waiting jobs; see the module."""

    def __init__(self) -> None:
        self.lines: dict[Key, Line] = {}
        self.parked: dict[int, Job] = {}
        self.later: list[Job] = []
        self.delayed: list[Job] = []
        self._kinds: dict[tuple[Shape, str, bool], int] = {}
        self._lines_of: dict[int, int] = {}
        self.gpuless_lines = 0
        self._ranked: list[Entry] = []
        self._ranked_at: float | None = None
        self._stale: dict[int, Line] = {}
        self._seen = Now(0.0, 0.0)

    # -- coming and going -----------------------------------------------------------------------

    def add(self, job: Job) -> None:
        """Put one waiting job at its place."""
        if not self._set_apart(job):
            self._line(job).add([job])

    def extend(self, jobs: list[Job]) -> None:
        """Put many jobs at their places."""
        ready: dict[Key, list[Job]] = {}
        for job in jobs:
            if not self._set_apart(job):
                ready.setdefault(key_of(job), []).append(job)
        for same in ready.values():
            same.sort(key=rank)
            self._line(same[0]).add(same)

    def remove(self, job: Job) -> None:
        """Take one job out, before anything that its place depends on changes."""
        if self.parked.pop(job.id, None) is not None:
            return
        for apart, order in ((self.later, _begin), (self.delayed, _delay)):
            place = bisect_left(apart, order(job), key=order)
            if place < len(apart) and apart[place] is job:
                del apart[place]
                return
        self._remove_ready(job)

    def release(self, now: Now) -> None:
        """Let the jobs whose time has come take their places."""
        self._seen = now
        for job in _take_due(self.delayed, _delay, now.boot):
            insort(self.later, job, key=_begin)
        for job in _take_due(self.later, _begin, now.wall):
            self._line(job).add([job])

    def next_release(self) -> float | None:
        """The boot time at which :meth:`release` has something to do, or is to look again."""
        times = [eligible_at(self.delayed[0])] if self.delayed else []
        if self.later:
            wait = self.later[0].begin - self._seen.wall
            times.append(self._seen.boot + min(max(wait, 0.0), LOOK_AT_WALL))
        return min(times, default=None)

    def _set_apart(self, job: Job) -> bool:
        if job.held or job.needs is not None:
            self.parked[job.id] = job
        elif eligible_at(job) > 0:
            insort(self.delayed, job, key=_delay)
        elif job.begin > self._seen.wall:
            insort(self.later, job, key=_begin)
        else:
            return False
        return True

    def _line(self, job: Job) -> Line:
        """The line of a job, which is to change."""
        key = key_of(job)
        line = self.lines.get(key)
        if line is None:
            kind = self._kinds.setdefault((key.shape, key.qos, key.requeue), len(self._kinds))
            line = self.lines[key] = Line(key, job.spec, kind)
            self._lines_of[kind] = self._lines_of.get(kind, 0) + 1
            self.gpuless_lines += not line.need.gpus
        self._stale[id(line)] = line
        return line

    def _remove_ready(self, job: Job) -> None:
        line = self.lines.get(key_of(job))
        if line is None:
            raise KeyError(job.id)
        line.remove(job)
        self._stale[id(line)] = line
        if not line.jobs:
            del self.lines[line.key]
            self.gpuless_lines -= not line.need.gpus
            self._lines_of[line.kind] -= 1
            if not self._lines_of[line.kind]:
                del self._lines_of[line.kind]

    # -- the order ------------------------------------------------------------------------------

    def walk(self, boot: float, score: Score) -> Walk:
        """A walk over the lines in order; ``score`` is asked where a rank is not known any more."""
        old = self._ranked_at is None or not 0 <= boot - self._ranked_at < RANKED_FOR
        if old or len(self._stale) > len(self._ranked) // 8:
            self._rank_all(boot, score)
        else:
            self._rank_stale(score)
        self._stale.clear()
        return Walk(self._ranked, score, len(self._lines_of))

    def forget_ranks(self) -> None:
        """Rank anew with the next pass: the rules have changed."""
        self._ranked_at = None

    def _rank_all(self, boot: float, score: Score) -> None:
        for line in self.lines.values():
            line.entry = _entry_of(line, 0, score)
        self._ranked = sorted(line.entry for line in self.lines.values() if line.entry)
        self._ranked_at = boot

    def _rank_stale(self, score: Score) -> None:
        for line in self._stale.values():
            if line.entry is not None:
                del self._ranked[bisect_left(self._ranked, line.entry)]
                line.entry = None
            if line.jobs:
                line.entry = _entry_of(line, 0, score)
                insort(self._ranked, line.entry)


def _entry_of(line: Line, place: int, score: Score) -> Entry:
    """The rank of the job at ``place`` of a line."""
    job = line.jobs[place]
    priority, points = score(line, job)
    return (-priority, -points, job.seq, job.id, line)


class Walk:
    """Goes over lines in order. The caller takes the job, or skips the line or all of its kind."""

    def __init__(self, ranked: list[Entry], score: Score, kinds: int) -> None:
        self._ranked = ranked
        self._score = score
        self._kinds = kinds
        self._again: list[tuple[Entry, int]] = []
        self._place = 0
        self._lowered: set[int] = set()
        self.skipped: set[object] = set()

    def __iter__(self) -> Iterator[tuple[Line, Job]]:
        """The line whose turn it is and its job; lines of skipped kinds are left out."""
        again, skipped = self._again, self.skipped
        for at, entry in enumerate(self._ranked, start=1):
            while again and again[0][0] < entry:
                yield from self._next_again()
            line = entry[4]
            if line.kind in skipped:
                if len(skipped) == self._kinds:
                    return
            elif line.key.uid not in self._lowered or not self._is_late(line, at):
                self._place = 0
                yield line, line.jobs[0]
        while again:
            yield from self._next_again()

    def _next_again(self) -> Iterator[tuple[Line, Job]]:
        entry, self._place = heapq.heappop(self._again)
        line = entry[4]
        if line.kind not in self.skipped:
            yield line, line.jobs[self._place]

    def take(self, line: Line, *, stays: bool = False) -> None:
        """The job just seen starts: the line goes on with the next one, its owner's rank falls.

        ``stays``: it is an array with more tasks to start.
        """
        self._lowered.add(line.key.uid)
        self.pass_over(line, stays=stays)

    def pass_over(self, line: Line, *, stays: bool = False) -> None:
        """Go on with the line behind the job just seen (or with it, if it ``stays``)."""
        place = self._place + (not stays)
        if place < len(line.jobs):
            heapq.heappush(self._again, (_entry_of(line, place, self._score), place))

    def _is_late(self, line: Line, at: int) -> bool:
        """Whether starts of this pass put another line before this one; it comes again then."""
        entry = _entry_of(line, 0, self._score)
        after = at < len(self._ranked) and self._ranked[at] < entry
        if after or (self._again and self._again[0][0] < entry):
            heapq.heappush(self._again, (entry, 0))
            return True
        return False
