"""Which jobs a listing names: active ones from memory, ended ones from the store, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from mgpu.core import arrays
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.job import Job
from mgpu.protocol.messages import ListJobs
from mgpu.store.base import JobFilter, Store

#: Ended jobs in one listing at the most, unless the caller's limit is smaller.
MOST_ENDED = 10_000
#: Ended jobs that are read at once: a client that takes its answer slowly holds no more.
PAGE = 500


def choose(world: World, store: Store, request: ListJobs, uids: list[int] | None) -> Iterator[Job]:
    """The jobs of ``request``, active ones first, in order of their ids.

    ``uids`` are those whose jobs are meant, None for everybody's.
    """
    wanted = _Wanted(request, uids)
    active = [job for job in _active(world, request) if wanted.has(job)]
    most = request.limit or len(active) + MOST_ENDED
    if request.ended or request.jobs or any(s in states.ENDED for s in request.states):
        return chain(active[:most], _ended(store, request, uids, most - len(active)))
    return iter(active[:most])


def _active(world: World, request: ListJobs) -> Iterable[Job]:
    if not request.jobs:
        return world.jobs.values()
    found = {job.id: job for name in request.jobs for job, _ in arrays.parts(world, name)}
    return [found[number] for number in sorted(found) if number in world.jobs]


def _ended(store: Store, request: ListJobs, uids: list[int] | None, most: int) -> Iterator[Job]:
    """The ``most`` that ended last."""
    ended = [state for state in request.states if state in states.ENDED]
    if most <= 0 or (request.states and not ended):
        return iter(())
    found = store.find(
        JobFilter(
            names=request.jobs or None,
            uids=uids,
            users=request.users or None,
            states=ended or None,
            limit=min(most, MOST_ENDED),
        )
    )
    found.sort(key=_id)
    return iter(found) if len(found) <= PAGE else _pages(store, [job.id for job in found])


def _pages(store: Store, ids: list[int]) -> Iterator[Job]:
    for start in range(0, len(ids), PAGE):
        page = store.find(JobFilter(ids=ids[start : start + PAGE], limit=PAGE))
        yield from sorted(page, key=_id)


def _id(job: Job) -> int:
    return job.id


class _Wanted:
    """The filter of a listing, applied to active jobs."""

    def __init__(self, request: ListJobs, uids: list[int] | None) -> None:
        self._users = frozenset(request.users)
        self._states = frozenset(request.states)
        self._uids = None if uids is None else frozenset(uids)

    def has(self, job: Job) -> bool:
        """Whether ``job`` is to be listed."""
        return (
            (self._uids is None or job.uid in self._uids)
            and (not self._users or job.user in self._users)
            and (not self._states or job.state in self._states)
        )
