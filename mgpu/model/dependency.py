"""What a job waits for of other jobs, in Slurm's words (sbatch(1), --dependency)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from mgpu.model.errors import MgpuError
from mgpu.model.units import quoted

AFTER: Final = "after"  # it has begun, or ended without that
AFTERANY: Final = "afterany"  # it has ended
AFTEROK: Final = "afterok"  # it has ended well
AFTERNOTOK: Final = "afternotok"  # it has ended, and not well
AFTERCORR: Final = "aftercorr"  # each task waits for the task of its index to end well
SINGLETON: Final = "singleton"  # earlier jobs of this user and name are over
KINDS: Final = (AFTER, AFTERANY, AFTEROK, AFTERNOTOK, AFTERCORR, SINGLETON)

#: The ``task`` that stands for a whole array, or for a job that is none.
WHOLE: Final = -1
#: Conditions that one job may have.
MOST: Final = 100

_REFUSED: Final = {
    "expand": "mgpu gives a running job no more GPUs",
    "afterburstbuffer": "mgpu has no burst buffers",
}
_JOB: Final = r"(?a)(?:(\d{1,18})(?:_(\d{1,10}))?|@(?:~(\d{1,4}))?)(?:\+(\d{1,8}))?"
_MINUTE: Final = 60

#: The id of the job or array that the caller submitted last but so many.
Newest = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: ``kind`` as Slurm writes it, ``job`` the id of a job or an array.

    ``task`` is an index of the array ``job``, -1 for all of it. ``delay`` are seconds after the
    start (kind ``after``). ``ripe`` is the Unix time at which the delay is over, once known.
    ``never`` says how the job ended where the condition cannot come true any more.
    """

    kind: str
    job: int = 0
    task: int = WHOLE
    delay: int = 0
    ripe: float = 0.0
    never: str = ""

    @property
    def parent(self) -> str:
        """The job it is about, as people name it."""
        return str(self.job) if self.task == WHOLE else f"{self.job}_{self.task}"

    def __str__(self) -> str:
        return self.kind if self.kind == SINGLETON else f"{self.kind}:{self._object}"

    @property
    def _object(self) -> str:
        return f"{self.parent}+{self.delay // _MINUTE}" if self.delay else self.parent


@dataclass(frozen=True, slots=True)
class Dependency:
    """All of ``conditions`` have to come true, or one of them if ``any_of``."""

    conditions: tuple[Condition, ...]
    any_of: bool = False

    def __str__(self) -> str:
        if self.any_of:
            return "?".join(map(str, self.conditions))
        groups = [list(same) for _, same in groupby(self.conditions, key=lambda one: one.kind)]
        return ",".join(map(_text, groups))

    @property
    def hopeless(self) -> bool:
        """Whether it cannot come true any more."""
        lost = [bool(condition.never) for condition in self.conditions]
        return all(lost) if self.any_of else any(lost)


def parse_dependency(text: str, newest: Newest) -> Dependency:
    """Read ``afterok:12:13,afterany:42_7``, ``after:12+10?singleton``, ``12`` or ``@~1``.

    A bare job means ``afterany``, as in Slurm. Raises MgpuError with what is wrong; ``newest``
    raises one where the caller has no such job.
    """
    if "?" in text and "," in text:
        raise _bad(text, "`,` (all of them) and `?` (one of them) do not go together")
    words = re.split("[,?]", text)
    conditions = [condition for word in words for condition in _parse_word(text, word, newest)]
    if len(conditions) > MOST:
        raise _too_many(len(conditions))
    return Dependency(tuple(dict.fromkeys(conditions)), "?" in text)


def _parse_word(text: str, word: str, newest: Newest) -> list[Condition]:
    kind, colon, rest = word.partition(":")
    if kind in _REFUSED:
        raise _bad(text, f"{kind} is not possible: {_REFUSED[kind]}")
    if kind == SINGLETON and not colon:
        return [Condition(SINGLETON)]
    if kind not in KINDS:
        kind, rest = AFTERANY, word
    jobs = rest.split(":")
    if kind == SINGLETON or not all(re.fullmatch(_JOB, job) for job in jobs):
        raise _bad(text, f"{quoted(word)} is no condition")
    return [_parse_job(text, kind, job, newest) for job in jobs]


def _parse_job(text: str, kind: str, word: str, newest: Newest) -> Condition:
    match = re.fullmatch(_JOB, word)
    assert match is not None  # noqa: S101 - the caller has looked
    number, task, back, minutes = match.groups()
    if minutes and kind != AFTER:
        raise _bad(text, f"{quoted(word)}: only after: takes minutes")
    if task and kind == AFTERCORR:
        raise _bad(text, f"{quoted(word)}: aftercorr: takes a whole array")
    job = newest(int(back or 0)) if number is None else int(number)
    index = WHOLE if task is None else int(task)
    return Condition(kind, job, index, int(minutes or 0) * _MINUTE)


def _text(same: list[Condition]) -> str:
    """Conditions of one kind, as they are written together."""
    first, *others = map(str, same)
    return ":".join([first, *(other.partition(":")[2] for other in others if ":" in other)])


def _too_many(count: int) -> MgpuError:
    return MgpuError(
        "BadRequest",
        f"{count} conditions are more than the {MOST} that one job may have",
        path="spec.dependency",
        hint=f"wait for an array, or for jobs that each wait for {MOST} of them (mgpu_srun -G 0 -d "
        "afterok:... -- true)",
    )


def _bad(text: str, what: str) -> MgpuError:
    return MgpuError(
        "BadRequest",
        f"{quoted(text)}: {what}",
        path="spec.dependency",
        hint="write afterok:12:13,afterany:14 or after:12+10?afternotok:42_7, singleton, @ or @~1",
    )
