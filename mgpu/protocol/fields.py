"""Typed access to a decoded map; every error says the path: ``spec.gpus: expected an integer``.

A field is asked for by its kind and bounds. ``finish`` refuses whatever was not asked for, so a
misspelt or forged field (``uid``) is an error and never silently dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from mgpu.model import states
from mgpu.model.errors import MgpuError
from mgpu.model.target import Name, Target, parse_target
from mgpu.model.tasks import MAX_TASKS
from mgpu.model.units import quoted

T = TypeVar("T")
_MISSING: Final = object()
_SHOWN = 40
_WORD = 64
_NAME = 4200
INT64_MAX = (1 << 63) - 1
#: The last Unix time that a request may name: a calendar ends with the year 9999, and a repeated
#: reservation is looked up some years ahead.
LATEST: Final = 2**37


class Fields:
    """One map of a request. ``None`` as a value counts as absent where a field is optional."""

    __slots__ = ("_asked", "_members", "path")

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            refuse(path, f"expected a map, got {shown(value)}")
        self._members: dict[str, object] = value
        self._asked: list[str] = []
        self.path = path

    def at(self, name: str) -> str:
        """The path of the field ``name``."""
        return f"{self.path}.{name}" if self.path else name

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """An integer within ``low`` to ``high``; required unless there is a default."""
        value = self._get(name, required=default is None)
        if value is None and default is not None:
            return default
        return as_integer(value, self.at(name), low, high)

    def maybe_integer(self, name: str, low: int, high: int) -> int | None:
        """An integer within ``low`` to ``high``, or None."""
        value = self._get(name, required=False)
        return None if value is None else as_integer(value, self.at(name), low, high)

    def boolean(self, name: str, *, default: bool) -> bool:
        """True or False."""
        value = self._get(name, required=False)
        if value is None:
            return default
        if not isinstance(value, bool):
            refuse(self.at(name), f"expected true or false, got {shown(value)}")
        return value

    def absent(self, name: str) -> bool:
        """Whether the field is not there, for one that may also be empty or false."""
        return self._get(name, required=False) is None

    def text(self, name: str, limit: int, default: str | None = None) -> str:
        """Text of at most ``limit`` characters without NUL; required unless there is a default."""
        value = self._get(name, required=default is None)
        if value is None and default is not None:
            return default
        return as_text(value, self.at(name), limit)

    def maybe_text(self, name: str, limit: int) -> str | None:
        """Text of 1 to ``limit`` characters without NUL, or None."""
        value = self._get(name, required=False)
        if value is None:
            return None
        if value == "":
            refuse(self.at(name), "is empty")
        return as_text(value, self.at(name), limit)

    def choice(self, name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One of the words in ``allowed``; required unless there is a default."""
        value = self.text(name, _WORD, default)
        if value not in allowed:
            refuse(self.at(name), f"{quoted(value)} is none of {', '.join(allowed)}")
        return value

    def maybe_blob(self, name: str, limit: int) -> bytes | None:
        """At most ``limit`` bytes, or None."""
        value = self._get(name, required=False)
        return None if value is None else as_blob(value, self.at(name), limit)

    def blob(self, name: str, limit: int) -> bytes:
        """At most ``limit`` bytes; required."""
        return as_blob(self._get(name, required=True), self.at(name), limit)

    def items(self, name: str, limit: int, convert: Callable[[object, str], T]) -> tuple[T, ...]:
        """A list (absent: an empty one); ``convert`` is given each item and its path."""
        value = self._get(name, required=False)
        if value is None:
            return ()
        at = self.at(name)
        if not isinstance(value, list):
            refuse(at, f"expected a list, got {shown(value)}")
        if len(value) > limit:
            too_large(at, f"{len(value)} items; at most {limit} are allowed")
        return tuple(convert(item, f"{at}[{index}]") for index, item in enumerate(value))

    def names(self, name: str, limit: int) -> tuple[Name, ...]:
        """Names of jobs, each once. How many tasks of arrays they name in all is bounded too."""
        budget = _Budget(MAX_TASKS)
        found = self.items(name, limit, lambda item, path: budget.spend(as_name(item, path), path))
        return tuple(dict.fromkeys(found))

    def jobs(self, limit: int) -> tuple[Name, ...]:
        """As :meth:`names`, those of the field ``jobs``; at least one."""
        found = self.names("jobs", limit)
        if not found:
            refuse(self.at("jobs"), "names no job")
        return found

    def value(self, name: str) -> object:
        """The field as it came, for a parser of its own; required."""
        return self._get(name, required=True)

    def map(self, name: str) -> Fields:
        """A nested map; an absent one counts as empty."""
        value = self._get(name, required=False)
        return Fields({} if value is None else value, self.at(name))

    def finish(self) -> None:
        """Refuse a field that nobody asked for."""
        for name in self._members:
            if name not in self._asked:
                message = f"unknown field {quoted(name, _SHOWN)}"
                refuse(self.path, message, hint=_nearest(name, self._asked))

    def _get(self, name: str, *, required: bool) -> object:
        self._asked.append(name)
        value = self._members.get(name)
        if value is None and required:
            refuse(self.at(name), "is missing")
        return value


class _Budget:
    """What is left of a number of tasks."""

    def __init__(self, tasks: int) -> None:
        self._most = self._left = tasks

    def spend(self, name: Name, path: str) -> Name:
        """``name``, if the tasks that it names are still to be had."""
        if isinstance(name, Target):
            self._left -= len(name.tasks)
        if self._left < 0:
            too_large(path, f"more than {self._most} tasks are named; name whole arrays")
        return name


def as_integer(value: object, path: str, low: int, high: int) -> int:
    """``value`` if it is an integer (a boolean is none) within ``low`` to ``high``."""
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(path, f"expected an integer, got {shown(value)}")
    if not low <= value <= high:
        refuse(path, f"{value} is out of range; allowed are {low} to {high}")
    return value


def as_text(value: object, path: str, limit: int) -> str:
    """``value`` if it is text of at most ``limit`` characters without NUL."""
    if not isinstance(value, str):
        refuse(path, f"expected text, got {shown(value)}")
    if len(value) > limit:
        too_large(path, f"{len(value)} characters; at most {limit} are allowed")
    if "\0" in value:
        refuse(path, "contains a NUL character")
    return value


def as_blob(value: object, path: str, limit: int) -> bytes:
    """``value`` if it is at most ``limit`` bytes."""
    if not isinstance(value, bytes):
        refuse(path, f"expected bytes, got {shown(value)}")
    if len(value) > limit:
        too_large(path, f"{len(value)} bytes; at most {limit} are allowed")
    return value


def as_name(value: object, path: str) -> Name:
    """``value`` if it names a job: an id, or a text as ``42_7`` or ``42_[1-5]``."""
    if not isinstance(value, str):
        return as_integer(value, path, 1, INT64_MAX)
    try:
        return parse_target(as_text(value, path, _NAME))
    except MgpuError as error:
        raise MgpuError(error.code, error.message, path=path, hint=error.hint) from None


def as_state(value: object, path: str) -> str:
    """``value`` if it is the name of a state of jobs."""
    state = as_text(value, path, _WORD)
    if state not in states.CODES:
        refuse(path, f"{shown(state)} is no state", hint=f"known are {', '.join(states.CODES)}")
    return state


def shown(value: object) -> str:
    """``value`` for an error message: short, and harmless to print."""
    if isinstance(value, str):
        return quoted(value, _SHOWN)
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    for kind, word in ((bytes, "bytes"), (list, "a list"), (dict, "a map")):
        if isinstance(value, kind):
            return word
    return "something else"


def refuse(path: str, message: str, hint: str = "") -> NoReturn:
    """Raise BadRequest about the field at ``path``."""
    raise MgpuError("BadRequest", message, path=path, hint=hint)


def too_large(path: str, message: str) -> NoReturn:
    """Raise TooLarge about the field at ``path``."""
    raise MgpuError("TooLarge", message, path=path)


def _nearest(name: str, known: list[str]) -> str:
    if len(name) > _SHOWN:  # the comparison takes quadratic time
        return ""
    from difflib import get_close_matches

    found = get_close_matches(name, known, n=1)
    return f"did you mean {found[0]}?" if found else ""
