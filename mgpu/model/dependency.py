"""What a job waits for of other jobs, in Slurm's words (sbatch(1), --dependency)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: ``kind`` as Slurm writes it, ``job`` the id of a job or an array.

    ``task`` is an index of the array ``job``, -1 for all of it. ``delay`` are seconds after the
    start (kind ``after``). ``ripe`` is the Unix time at which the delay is over, once known.
    """

    kind: str
    job: int = 0
    task: int = -1
    delay: int = 0
    ripe: float = 0.0


@dataclass(frozen=True, slots=True)
class Dependency:
    """All of ``conditions`` have to come true, or one of them if ``any_of``."""

    conditions: tuple[Condition, ...]
    any_of: bool = False
