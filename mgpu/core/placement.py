"""Where a job fits. The one predicate that the scheduler, the reservation and the reasons share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mgpu.model.job import JobSpec


class Need(NamedTuple):
    """What placement asks of GPUs: how many, MiB on each (None: all), shared or not."""

    gpus: int
    mem: int | None
    shares: bool


class Room:
    """What one GPU can still take. Mutable: a pass fills a private copy.

    ``usable`` is its memory less the margin, ``outside`` what outsiders use of it, ``free`` what
    is left beside the ``jobs`` (ids). ``alone`` is True when its one job does not share;
    ``quiet`` when outsiders use no more than the policy ignores.
    """

    __slots__ = (
        "alone", "available", "free", "index", "jobs", "outside", "quiet", "usable", "uuid",
    )  # fmt: skip

    def __init__(
        self, uuid: str, index: int, usable: int, outside: int, *, available: bool, quiet: bool
    ) -> None:
        self.uuid = uuid
        self.index = index
        self.usable = usable
        self.outside = outside
        self.free = usable - outside
        self.available = available
        self.quiet = quiet
        self.jobs: list[int] = []
        self.alone = False

    def copy(self) -> Room:
        """The same room, to be filled independently."""
        twin = Room(
            self.uuid, self.index, self.usable, self.outside,
            available=self.available, quiet=self.quiet,
        )  # fmt: skip
        twin.free, twin.alone, twin.jobs = self.free, self.alone, self.jobs.copy()
        return twin

    def take(self, job: int, need: Need) -> None:
        """Put a job here."""
        self.jobs.append(job)
        self.free -= need.mem or 0
        self.alone = not need.shares

    def give(self, job: int, need: Need) -> None:
        """Take a job away again."""
        self.jobs.remove(job)
        self.free += need.mem or 0
        self.alone = False


def need_of(spec: JobSpec) -> Need:
    """What a job with ``spec`` needs."""
    return Need(spec.gpus, spec.gpu_mem, spec.shares)


def fits(room: Room, need: Need) -> bool:
    """Whether one GPU of ``need`` can be this one."""
    if not room.available or room.alone or room.free < (need.mem or 0):
        return False
    return need.shares or (not room.jobs and room.quiet)


def choose(
    rooms: Iterable[Room], need: Need, later: Mapping[str, Room] | None = None
) -> list[Room] | None:
    """The GPUs for one job in index order, or None. ``later``: it must fit there as well.

    Jobs that share go where they fit most tightly, so that large requests find GPUs untouched;
    the others take the lowest indices.
    """
    fitting = [room for room in rooms if fits(room, need)]
    if later is not None:
        fitting = [room for room in fitting if fits(later[room.uuid], need)]
    if len(fitting) < need.gpus:
        return None
    if need.shares:
        fitting.sort(key=lambda room: (room.free, room.index))
    return sorted(fitting[: need.gpus], key=lambda room: room.index)


def would_fit(room: Room, need: Need) -> bool:
    """Whether ``room`` would do if no job were there."""
    vacant = room.usable - room.outside >= (need.mem or 0)
    return room.available and vacant and (need.shares or room.quiet)


def large_enough(usable: int, need: Need) -> bool:
    """Whether a GPU with ``usable`` MiB would do with nothing on it."""
    return usable >= (need.mem or 0)
