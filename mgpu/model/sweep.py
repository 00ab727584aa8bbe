"""Parameter sweeps: which values a task of an array stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mgpu.model.errors import MgpuError
from mgpu.model.tasks import MAX_TASKS
from mgpu.model.units import quoted

#: Names of parameters that vary together, and the rows of their values.
Axis = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]

#: A parameter's name: it becomes a part of a variable's name (``MGPU_PARAM_LR``).
_NAME = r"(?a)[A-Za-z_][A-Za-z0-9_]{0,63}"


@dataclass(frozen=True, slots=True)
class Sweep:
    """The product of its axes; the last one varies fastest. Task i is the i-th combination."""

    axes: tuple[Axis, ...]

    @property
    def count(self) -> int:
        """How many combinations there are."""
        return math.prod(len(rows) for _, rows in self.axes)

    @property
    def names(self) -> list[str]:
        """The parameters, in the order given."""
        return [name for names, _ in self.axes for name in names]

    def values(self, task: int) -> dict[str, str]:
        """The parameters of a task, which is one of ``count``."""
        chosen: list[dict[str, str]] = []
        for names, rows in reversed(self.axes):
            task, place = divmod(task, len(rows))
            chosen.append(dict(zip(names, rows[place], strict=True)))
        return {name: value for part in reversed(chosen) for name, value in part.items()}


def expand(text: str, values: Mapping[str, str]) -> str:
    """``text`` with ``{name}`` replaced where it names a parameter, ``{{name}}`` by ``{name}``.

    Everything else stays, so that JSON and shell words need no care.
    """
    if not values:
        return text
    names = "|".join(sorted(map(re.escape, values), key=len, reverse=True))
    pattern = rf"\{{(\{{(?:{names})\}})\}}|\{{({names})\}}"
    return re.sub(pattern, lambda match: match[1] or values[match[2]], text)


def check(sweep: Sweep) -> None:
    """Raise MgpuError unless the names are good ones and the combinations not too many."""
    seen: set[str] = set()
    for name in sweep.names:
        if re.fullmatch(_NAME, name) is None:
            raise _bad(f"{quoted(name)} is no name of a parameter", "use letters, digits and _")
        if name in seen:
            raise _bad(f"the parameter {name} is given twice", "")
        seen.add(name)
    if sweep.count > MAX_TASKS:
        raise _bad(f"{sweep.count} combinations; an array has at most {MAX_TASKS} tasks", "")


def check_template(template: str, sweep: Sweep) -> None:
    """Raise MgpuError where ``{word}`` in the template of a name is no parameter."""
    for escaped, name in re.findall(r"(?a)(\{\{\w+\}\})|\{(\w+)\}", template):
        if not escaped and name not in sweep.names:
            known = f"known are {', '.join(sweep.names)}"
            what = f"{{{name}}} is no parameter"
            raise MgpuError("BadRequest", what, path="spec.name_template", hint=known)


def _bad(what: str, hint: str) -> MgpuError:
    return MgpuError("BadRequest", what, path="spec.sweep", hint=hint)
