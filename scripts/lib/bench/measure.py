"""Samples, yardsticks and rows: a figure means nothing without what stands beside it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

TRUE = ["/bin/true"]
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c", "pass"]
USUAL_PYTHON = ["/usr/bin/python3", "-c", "pass"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: ``quick`` shows that it works, not how fast."""

    quick: bool

    @property
    def many(self) -> int:
        """Jobs of a long queue."""
        return 500 if self.quick else 10_000

    @property
    def most(self) -> int:
        """Jobs of the longest queue."""
        return 5_000 if self.quick else 100_000

    @property
    def past(self) -> int:
        """Jobs that have ended, of a long history."""
        return 2_000 if self.quick else 1_000_000


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """Milliseconds to start and wait for /bin/true (T) and for an empty Python (P)."""

    true: float
    python: float

    @classmethod
    def take(cls, count: int = 15) -> Yardsticks:
        """Measure both, in turn."""
        pairs = [(timed(TRUE), timed(PYTHON)) for _ in range(count)]
        return cls(median(t for t, _ in pairs), median(p for _, p in pairs))


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: ``value`` in ``unit``, and its ``ratio`` to the yardstick ``beside`` (T, P, "").

    ``aim`` is the bound for the ratio, or for the value where there is no yardstick;
    ``at_least`` turns it round. ``spread`` is the 95th percentile in the same unit.
    """

    part: str
    what: str
    value: float
    unit: str
    aim: float
    beside: str = ""
    ratio: float = 0.0
    spread: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the aim is reached."""
        judged = self.ratio if self.beside else self.value
        return judged >= self.aim if self.at_least else judged <= self.aim


def timed(argv: Sequence[str]) -> float:
    """Milliseconds from before the start of ``argv`` to after its end; it must succeed."""
    begin = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1e3


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample that ``share`` of all do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def beside(
    part: str, what: str, samples: Sequence[float], yardstick: tuple[str, float], aim: float
) -> Row:
    """The row for the median of ``samples`` (ms) beside a yardstick."""
    name, unit = yardstick
    middle = median(samples)
    spread = percentile(samples, 0.95)
    return Row(part, what, middle, "ms", aim, name, middle / unit, spread)


def wait_for(probe: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Look every half millisecond until ``probe`` is true."""
    give_up = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > give_up:
            raise TimeoutError(what)
        time.sleep(0.0005)
