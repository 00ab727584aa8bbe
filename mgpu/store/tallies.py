"""Sums over attempts: of one, of many at once as the database adds them up, and as a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mgpu.model import states
from mgpu.model.runs import Run

#: A wait in tenths of a second, as exactly as it is told: to 1 % or a tenth.
_TENTHS: Final = """CAST(CASE WHEN wait < 100 THEN wait * 10
    WHEN wait < 10000 THEN 10 * CAST(wait AS INTEGER)
    ELSE 600 * CAST(wait / 60 AS INTEGER) END AS INTEGER)"""
_SUMMED: Final = {
    "all_tasks": "total(tasks)",
    "attempts": "count(started)",
    "all_gpu_seconds": "total(gpu_seconds)",
    "waits": "count(wait)",
    "waited": "total(wait)",
    "longest": "max(wait)",
    "each": f"group_concat({_TENTHS})",
    "busy": "total(utilization * seen)",
    "told": "total(iif(utilization IS NULL, 0, seen))",
    "all_idle": "total(idle)",
    "used": "total(iif(gpu_mem IS NULL, 0, mean * seen))",
    "asked": "total(iif(mean IS NULL, 0, gpu_mem * seen))",
    "highest": "max(peak)",
}
#: The sums of runs, as :meth:`Tally.add` takes them.
SUMS: Final = ", ".join(f"{summed} AS {name}" for name, summed in _SUMMED.items())
_AGAIN: Final = {"max": "max", "group_concat": "group_concat"}
#: The sums of such sums.
SUMS_AGAIN: Final = ", ".join(
    f"{_AGAIN.get(summed.partition('(')[0], 'sum')}({name})" for name, summed in _SUMMED.items()
)

#: The columns of :meth:`Tally.row`, behind the name.
FIELDS: Final = (
    *("jobs", "attempts", "completed", "failed", "timeout", "cancelled", "other", "success"),
    *("gpu_seconds", "waits", "wait_mean", "wait_median", "wait_p95", "wait_max"),
    *("utilization", "idle_gpu_seconds", "memory", "peak"),
)
_COUNTED: Final = (states.COMPLETED, states.FAILED, states.TIMEOUT, states.CANCELLED)


@dataclass(slots=True)
class Tally:
    """What some attempts come to. Times of use are weighted by how many GPUs they are about."""

    ends: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    gpu_seconds: float = 0.0
    waits: int = 0
    waited: float = 0.0
    longest: float = 0.0
    each: list[str] = field(default_factory=list)
    busy: float = 0.0
    told: float = 0.0
    idle: float = 0.0
    used: float = 0.0
    asked: float = 0.0
    peak: int = 0

    def add(self, state: str, sums: Any, width: int, share: float = 1.0, *, final: bool) -> None:
        """Add the :data:`SUMS` of attempts of ``width`` GPUs; ``share`` is the part that counts."""
        tasks, started, gpu_seconds, waits, waited, longest, each, *use, peak = sums
        if final:
            self.ends[state] += int(tasks)
        self.attempts += started
        self.gpu_seconds += gpu_seconds * share
        self.waits += waits
        self.waited += waited
        self.longest = max(self.longest, longest or 0.0)
        self.each += [each] if each else []
        busy, told, idle, used, asked = (part * width * share for part in use)
        self.busy += busy
        self.told += told
        self.idle += idle
        self.used += used
        self.asked += asked
        self.peak = max(self.peak, peak or 0)

    def row(self, name: str) -> list[Any]:
        """The columns of :data:`FIELDS` behind ``name``; None where nothing is known."""
        done, failed, late, cancelled = (self.ends[state] for state in _COUNTED)
        other = self.ends.total() - done - failed - late - cancelled
        judged = done + failed + late + other
        return [
            *(name, self.ends.total(), self.attempts, done, failed, late, cancelled, other),
            100 * done / judged if judged else None,
            self.gpu_seconds,
            self.waits,
            self.waited / self.waits if self.waits else None,
            *_quantiles(self.each, (0.5, 0.95)),
            self.longest if self.waits else None,
            self.busy / self.told if self.told else None,
            self.idle if self.told else None,
            100 * self.used / self.asked if self.asked else None,
            self.peak or None,
        ]


def _quantiles(each: Sequence[str], parts: Sequence[float]) -> list[float | None]:
    """The waits, in seconds, that these parts of all do not exceed; None where there are none."""
    if not each:
        return [None] * len(parts)
    counts = Counter(",".join(each).split(","))  # there can be a million
    found: list[float | None] = []
    seen, total, wanted = 0, counts.total(), list(parts)
    for tenths, count in sorted((int(text), count) for text, count in counts.items()):
        seen += count
        while wanted and seen >= wanted[0] * total:
            found.append(tenths / 10)
            wanted.pop(0)
    return found


def _tenths(wait: float) -> int:
    if wait < 100:
        return int(wait * 10)
    return 10 * int(wait) if wait < 10_000 else 600 * int(wait / 60)


def sums_of(run: Run) -> tuple[Any, ...]:
    """The :data:`SUMS` of one attempt."""
    told = run.seen if run.utilization is not None else 0.0
    both = run.seen if run.mean is not None and run.gpu_mem is not None else 0.0
    return (
        run.tasks,
        int(run.started is not None),
        run.gpu_seconds,
        int(run.wait is not None),
        run.wait or 0.0,
        run.wait,
        None if run.wait is None else str(_tenths(run.wait)),
        (run.utilization or 0.0) * told,
        told,
        run.idle or 0.0,
        (run.mean or 0.0) * both,
        (run.gpu_mem or 0) * both,
        run.peak,
    )
