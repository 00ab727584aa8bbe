"""What is wrong with a configuration, said so that it can be put right at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mgpu.model.errors import MgpuError
from mgpu.model.units import visible


class Problem(NamedTuple):
    """One thing that is wrong: ``source`` is a file, a variable or a flag; line 0 is unknown."""

    source: str
    line: int
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        subject = f"{self.key}: " if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        return visible(f"{place}: {subject}{self.message}{hint}")


class ConfigError(MgpuError):
    """The configuration cannot be used; ``problems`` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("BadRequest", "\n".join(map(str, problems)))
        self.problems = tuple(problems)
