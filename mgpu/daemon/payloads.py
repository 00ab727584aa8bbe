"""The launch payloads that are kept: for whom, how large, and when they are needed no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mgpu.daemon.leftovers import Leftovers
from mgpu.model.errors import MgpuError
from mgpu.model.events import Erased, Event, Split, Submitted
from mgpu.model.job import Job
from mgpu.model.records import Recurring
from mgpu.store.base import Leftover, Loaded

_MIB = 1 << 20


class Released(NamedTuple):
    """The specs whose payloads are to go now, and those whose payloads are left for a while."""

    gone: list[int]
    left: list[int]


class Payloads:
    """Scripts, environments and command lines of the specs that active or recurring jobs have.

    ``sizes`` are those of what is stored, by spec, in bytes. A user may have ``most`` bytes of
    them; 0 is no bound. Those of jobs that have ended are ``left``.
    """

    def __init__(
        self, loaded: Loaded, sizes: Mapping[int, int], most: int, left: Leftovers
    ) -> None:
        self.most = most
        self.left = left
        self._jobs = Counter(job.spec.spec_id for job in loaded.jobs)
        self._kept: dict[int, tuple[int, int]] = {}
        self._held: Counter[int] = Counter()
        self._recurring: set[int] = set()
        recurring = [record for record in loaded.records if isinstance(record, Recurring)]
        owners = {job.spec.spec_id: job.uid for job in loaded.jobs}
        owners |= {one.spec.spec_id: one.uid for one in recurring}
        for spec_id, uid in owners.items():
            self.keep(spec_id, uid, sizes.get(spec_id, 0))

    def check(self, uid: int, size: int) -> None:
        """Raise MgpuError where ``size`` bytes more would be too much for ``uid``."""
        held = self._held[uid]
        if size and self.most and held + size > self.most:
            raise MgpuError(
                "LimitReached",
                f"your jobs keep {held} bytes of scripts, environments and command lines; "
                f"{size} more would pass the limit of {self.most // _MIB} MiB",
                path="spec",
                hint="wait until some have ended, cancel some, submit many jobs as one array, "
                "or send less of the environment (--export)",
            )

    def keep(self, spec_id: int, uid: int, size: int) -> None:
        """The payload of a new spec is kept for ``uid``; numbers below 0 are recurring jobs'."""
        if spec_id < 0:
            self._recurring.add(spec_id)
        self._kept[spec_id] = (uid, size)
        self._held[uid] += size

    def released(
        self, events: Sequence[Event], changed: Sequence[Job], ended: Sequence[Job], at: float
    ) -> Released:
        """What becomes at ``at`` (Unix time) of payloads that no active job needs any more."""
        gone, left = self.left.overdue(at), []
        for spec_id in self._unused(events, changed, ended):
            uid, size = self._drop(spec_id)
            if spec_id > 0 and self.left.seconds:
                left.append(spec_id)
                gone += self.left.add(Leftover(spec_id, uid, size, at))
            else:
                gone.append(spec_id)
        return Released(gone, left)

    def _unused(
        self, events: Sequence[Event], changed: Sequence[Job], ended: Sequence[Job]
    ) -> list[int]:
        """The specs that were needed up to these events, and are so no more."""
        self._count(events, changed, ended)
        erased = [-int(e.key) for e in events if isinstance(e, Erased) and e.kind == _RECURRING]
        self._recurring.difference_update(erased)
        over = {job.spec.spec_id for job in ended}.union(erased)
        return [one for one in over if not self._jobs[one] and one not in self._recurring]

    def _count(self, events: Sequence[Event], changed: Sequence[Job], ended: Sequence[Job]) -> None:
        for event in events:
            if isinstance(event, Submitted):
                self._jobs[event.spec.spec_id] += event.count
        children = {event.child for event in events if isinstance(event, Split)}
        self._jobs.update(job.spec.spec_id for job in changed if job.id in children)
        self._jobs.subtract(job.spec.spec_id for job in ended)

    def _drop(self, spec_id: int) -> tuple[int, int]:
        del self._jobs[spec_id]
        uid, size = self._kept.pop(spec_id, (-1, 0))
        self._held[uid] -= size
        if not self._held[uid]:
            del self._held[uid]
        return uid, size


_RECURRING = Recurring.__name__
