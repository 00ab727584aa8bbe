"""Parameter sweeps: which values a task of an array stands for."""

from __future__ import annotations

from dataclasses import dataclass

#: Names of parameters that vary together, and the rows of their values.
Axis = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The product of its axes; the last one varies fastest. Task i is the i-th combination."""

    axes: tuple[Axis, ...]
