"""Where a job fits. The one predicate that the scheduler, the reservation and the reasons share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from mgpu.core.machine import ANY, NO_MACHINE, Machine, Wants
from mgpu.model.job import JobSpec

PACK: Final = "pack"
SPREAD: Final = "spread"
SEQUENTIAL: Final = "sequential"
RANDOM: Final = "random"
#: Not for the configuration: the GPUs with the least memory, whatever their links.
SMALLEST: Final = "smallest"


class Need(NamedTuple):
    """What placement looks at: how many GPUs, MiB on each (None: all), shared or not, which.

    ``cpus`` and ``host_mem`` (MiB) are 0 for a job that names none.
    """

    gpus: int
    mem: int | None
    shares: bool
    wants: Wants = ANY
    cpus: int = 0
    host_mem: int = 0


class Manner(NamedTuple):
    """Which of the GPUs that would do are taken: a strategy of the policy; ``seed`` for RANDOM."""

    strategy: str = PACK
    seed: int = 0


AS_PACKED: Final = Manner()


class Room:
    """What one GPU can still take. Mutable: a pass fills a private copy.

    ``usable`` is its memory less the margin, ``outside`` what outsiders use of it, ``free`` what
    is left beside the ``jobs`` (what counts for each, by id). ``alone`` is True when its one job
    does not share; ``quiet`` when outsiders use no more than the policy ignores. What is
    ``cleaning`` can take nothing yet, but soon. ``machine`` knows the rest.
    """

    __slots__ = (
        "alone", "available", "cleaning", "free", "index", "jobs", "machine", "outside", "quiet",
        "usable", "uuid",
    )  # fmt: skip

    def __init__(
        self,
        uuid: str,
        index: int,
        usable: int,
        outside: int,
        *,
        available: bool,
        quiet: bool,
        cleaning: bool = False,
        machine: Machine = NO_MACHINE,
    ) -> None:
        self.uuid = uuid
        self.index = index
        self.usable = usable
        self.outside = outside
        self.free = usable - outside
        self.available = available
        self.quiet = quiet
        self.cleaning = cleaning
        self.machine = machine
        self.jobs: dict[int, int] = {}
        self.alone = False

    def copy(self) -> Room:
        """The same room, to be filled independently."""
        twin = Room(
            self.uuid, self.index, self.usable, self.outside,
            available=self.available, quiet=self.quiet, cleaning=self.cleaning,
            machine=self.machine,
        )  # fmt: skip
        twin.free, twin.alone, twin.jobs = self.free, self.alone, self.jobs.copy()
        return twin

    def take(self, job: int, need: Need, measured: int = 0) -> None:
        """Put a job here; what it was promised counts, or what it uses where that is more."""
        self.jobs[job] = max(need.mem or 0, measured)
        self.free -= self.jobs[job]
        self.alone = not need.shares

    def give(self, job: int) -> None:
        """Take a job away again."""
        self.free += self.jobs.pop(job)
        self.alone = False

    def suits(self, wants: Wants) -> bool:
        """Whether it is a GPU that a job may have, whoever else is there."""
        return wants is ANY or self.uuid in self.machine.suiting(wants)


class Host:
    """What the jobs that name any can still have of the machine's CPUs and memory (MiB).

    The totals are infinite where there is no bound.
    """

    __slots__ = ("cpus", "mem", "total_cpus", "total_mem")

    def __init__(self, total_cpus: float = math.inf, total_mem: float = math.inf) -> None:
        self.cpus = self.total_cpus = total_cpus
        self.mem = self.total_mem = total_mem

    def copy(self) -> Host:
        """The same, to be filled independently."""
        twin = Host(self.total_cpus, self.total_mem)
        twin.cpus, twin.mem = self.cpus, self.mem
        return twin

    def fits(self, need: Need) -> bool:
        """Whether what ``need`` names is there."""
        return not self.lacks_cpus(need) and not self.lacks_mem(need)

    def lacks_cpus(self, need: Need) -> bool:
        """Whether it names more CPUs than are left."""
        return need.cpus > max(0, self.cpus)

    def lacks_mem(self, need: Need) -> bool:
        """Whether it names more memory than is left."""
        return need.host_mem > max(0, self.mem)

    def is_helped(self, need: Need, other: Need) -> bool:
        """Whether ``other`` has some of what lacks for ``need``."""
        for_cpus = other.cpus > 0 and self.lacks_cpus(need)
        return for_cpus or (other.host_mem > 0 and self.lacks_mem(need))

    def take(self, need: Need) -> None:
        """Promise it."""
        self.cpus -= need.cpus
        self.mem -= need.host_mem

    def give(self, need: Need) -> None:
        """Have it back."""
        self.cpus += need.cpus
        self.mem += need.host_mem


def need_of(spec: JobSpec) -> Need:
    """What a job with ``spec`` needs."""
    wants = Wants(spec.gpu_type, spec.gpu_uuids, spec.min_gpu_total, spec.min_capability)
    chosen = ANY if wants == ANY else wants
    return Need(spec.gpus, spec.gpu_mem, spec.shares, chosen, spec.cpus, spec.host_mem)


def fits(room: Room, need: Need) -> bool:
    """Whether one GPU of ``need`` can be this one."""
    if not room.available or room.cleaning or room.alone or room.free < (need.mem or 0):
        return False
    return (need.shares or (not room.jobs and room.quiet)) and room.suits(need.wants)


def choose(
    rooms: Iterable[Room],
    need: Need,
    later: Mapping[str, Room] | None = None,
    manner: Manner = AS_PACKED,
) -> list[Room] | None:
    """The GPUs for one job in index order, or None. ``later``: it must fit there as well.

    Several GPUs are the best connected ones; what is left to decide, ``manner`` decides.
    """
    fitting = [room for room in rooms if fits(room, need)]
    if later is not None:
        fitting = [room for room in fitting if fits(later[room.uuid], need)]
    if len(fitting) < need.gpus:
        return None
    if len(fitting) > need.gpus:
        fitting = _pick(fitting, need, manner)
    return sorted(fitting, key=lambda room: room.index)


def _pick(fitting: list[Room], need: Need, manner: Manner) -> list[Room]:
    """As many of the GPUs that fit as are needed."""
    links = fitting[0].machine.links
    ranked = sorted(fitting, key=_order(fitting, need, manner))
    if links is None or need.gpus < 2 or manner.strategy == SMALLEST:
        return ranked[: need.gpus]
    pool, held = ranked, 0
    if manner.strategy == PACK:  # those that are in use already come first, whatever their links
        used = sum(bool(room.jobs) for room in ranked)
        held = used if used < need.gpus else 0
        pool = ranked[held:] if held or not used else ranked[:used]
    names = [room.index for room in pool]
    best = links.best([room.index for room in ranked[:held]], names, need.gpus - held)
    return [room for room in ranked if room.index in best]


def _order(fitting: list[Room], need: Need, manner: Manner) -> Callable[[Room], tuple[int, ...]]:
    """The smaller, the sooner a GPU is taken."""
    if manner.strategy == SMALLEST:
        return lambda room: (room.usable, room.index)
    if manner.strategy == SEQUENTIAL:
        return lambda room: (room.index,)
    if manner.strategy == RANDOM:
        return lambda room: (_scattered(manner.seed, room.index), room.index)
    if manner.strategy == SPREAD:
        return lambda room: (len(room.jobs), -room.free, room.index)
    return _packing(fitting, need)


def _packing(fitting: list[Room], need: Need) -> Callable[[Room], tuple[int, ...]]:
    """First GPUs in use, then tight ones, then those that are linked least with unused ones."""
    links = fitting[0].machine.links
    whole = [room.index for room in fitting if not room.jobs]

    def key(room: Room) -> tuple[int, ...]:
        size = 0 if need.mem is None else room.free
        linked = links.between(room.index, whole) if links is not None else 0
        return (not room.jobs, size, linked, room.index)

    return key


def _scattered(seed: int, index: int) -> int:
    """A number without pattern, always the same for the same two (the finaliser of splitmix64)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03 + 1) % 2**64
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    return mixed ^ mixed >> 31


def would_fit(room: Room, need: Need) -> bool:
    """Whether ``room`` would do if no job were there."""
    vacant = room.usable - room.outside >= (need.mem or 0)
    quiet_enough = need.shares or room.quiet
    return room.available and vacant and quiet_enough and room.suits(need.wants)


def large_enough(usable: int, need: Need) -> bool:
    """Whether a GPU with ``usable`` MiB is large enough with nothing on it."""
    return usable >= (need.mem or 0)


def could_do(room: Room, need: Need) -> bool:
    """Whether this GPU would do with nothing on it, were it available."""
    return large_enough(room.usable, need) and room.suits(need.wants)
