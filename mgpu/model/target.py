"""How people name jobs: ``42``, ``42_7``, ``42_[1-5,9]``; lists of them, and ranges ``3-5``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mgpu.model.errors import MgpuError
from mgpu.model.tasks import Tasks, parse_tasks
from mgpu.model.units import quoted

_TARGET = r"(?a)(\d{1,18})_(?:(\d{1,10})|\[([0-9,:%-]{1,4096})\])"
_RANGE = r"(?a)(\d{1,18})-(\d{1,18})"
_NUMBER = r"(?a)\d{1,18}"
_HINT = "write 42, 42_7, 42_[1-5,9] or 3-5"


@dataclass(frozen=True, slots=True)
class Target:
    """Some tasks of the array ``job``."""

    job: int
    tasks: Tasks

    def __str__(self) -> str:
        return name_of(self.job, self.tasks)


#: A whole job or array, or some tasks of an array.
Name = int | Target


class Names:
    """Names that jobs are looked for by."""

    def __init__(self, names: Iterable[Name]) -> None:
        self.numbers: set[int] = set()
        tasks: dict[int, list[Tasks]] = {}
        for name in names:
            if isinstance(name, int):
                self.numbers.add(name)
            else:
                tasks.setdefault(name.job, []).append(name.tasks)
        self.tasks = {array: Tasks(()).join(*its) for array, its in tasks.items()}

    def has(self, number: int, array: int, tasks: Tasks | None) -> bool:
        """Whether the record ``number`` is named, its array, or one of its tasks."""
        if number in self.numbers or (array and array in self.numbers):
            return True
        named = self.tasks.get(array) if array else None
        return named is not None and bool((tasks or Tasks(())).meet(named).ranges)


def on_wire(name: Name) -> int | str:
    """A name as it is sent: a number, or the text that :func:`parse_target` reads."""
    return name if isinstance(name, int) else str(name)


def of_wire(name: int | str) -> Name:
    """A name as :func:`on_wire` gave it: longer, maybe, than one that somebody may write."""
    if isinstance(name, int):
        return name
    job, _, tasks = name.partition("_")
    return Target(int(job), parse_tasks(tasks.strip("[]"))[0])


def name_of(job: int, tasks: Tasks, bound: int = 0) -> str:
    """``42_7`` or ``42_[8-100%4]``, ``bound`` being 4."""
    if len(tasks) == 1 and not bound:
        return f"{job}_{tasks.first}"
    return f"{job}_[{tasks}{f'%{bound}' if bound else ''}]"


def compact(names: Iterable[Name]) -> str:
    """All of them, sorted, each once, as :func:`parse_targets` reads them: ``3-7,9,42_[0-99]``."""
    known = Names(names)
    runs: list[list[int]] = []
    for number in sorted(known.numbers):
        if runs and runs[-1][1] + 1 == number:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    return ",".join([*words, *(name_of(job, its) for job, its in sorted(known.tasks.items()))])


def parse_target(text: str) -> Name:
    """The one name ``42``, ``42_7`` or ``42_[1-5,9]``; raises MgpuError.

    A bound as in ``42_[8-100%4]`` is let through: listings show it.
    """
    match = re.fullmatch(_TARGET, text)
    if match is not None and int(match[1]):
        return Target(int(match[1]), parse_tasks(match[2] or match[3])[0])
    if re.fullmatch(_NUMBER, text) and int(text):
        return int(text)
    raise _bad(text)


def parse_targets(words: Iterable[str], most: int) -> list[Name]:
    """What ``3``, ``3,42_7`` and ``3-5`` name, in order, each once; raises MgpuError.

    More than ``most`` names are refused.
    """
    found: dict[Name, None] = {}
    for word in words:
        for part in re.split(r",(?![^\[]*\])", word):
            if part:
                found.update(dict.fromkeys(_named(part, most)))
            if len(found) > most:
                raise _too_many(most)
    return list(found)


def _named(part: str, most: int) -> Iterator[Name]:
    match = re.fullmatch(_RANGE, part)
    if match is None:
        yield parse_target(part)
        return
    first, last = int(match[1]), int(match[2])
    if not 0 < first <= last:
        raise _bad(part)
    if last - first >= most:
        raise _too_many(most)
    yield from range(first, last + 1)


def _bad(text: str) -> MgpuError:
    return MgpuError("BadRequest", f"{quoted(text)} names no job", path="jobs", hint=_HINT)


def _too_many(most: int) -> MgpuError:
    return MgpuError("TooLarge", f"more than {most} jobs are named", path="jobs")
