"""Options of several commands, and kinds of values: sizes, durations, signals, lists.

A bad value is a usage error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mgpu.model import units

if TYPE_CHECKING:
    _ParamType = click.ParamType[object]
else:
    _ParamType = click.ParamType  # older releases cannot be subscripted

_WARNING_SECONDS = 60


class Parsed(_ParamType):
    """A value read by a function that raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """``value`` read, unless it is one already (a default)."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _parse_signal(text: str) -> tuple[int, int]:
    """(number, seconds before the limit) of ``USR1``, ``TERM@30``, ``10@120``."""
    if text.startswith("B:"):
        raise ValueError(
            f"{units.quoted(text)}: B: (the shell alone) is not supported; without it"
            " every process of the job that handles the signal gets it"
        )
    name, at, seconds = text.partition("@")
    if at and not (seconds.isascii() and seconds.isdecimal() and 1 <= int(seconds[:6]) <= 65535):
        raise ValueError(f"{units.quoted(text)}: the time is 1 to 65535 seconds")
    return signal_number(name), int(seconds) if at else _WARNING_SECONDS


def signal_number(name: str) -> int:
    """The number of a signal given as ``USR1``, ``SIGUSR1`` or ``10``."""
    import signal

    plain = name.upper().removeprefix("SIG")
    for known in signal.valid_signals():
        names = {str(int(known)), getattr(known, "name", "").removeprefix("SIG")}
        if plain and plain in names:
            return int(known)
    raise ValueError(f"{units.quoted(name)} is not a signal; write USR1, SIGTERM or 10")


def words(text: str) -> list[str]:
    """The parts between commas, without blanks and empty ones."""
    return [word.strip() for word in text.split(",") if word.strip()]


def indices(text: str) -> list[int]:
    """The numbers of ``0`` or ``0,2``."""
    found = words(text)
    if not found or not all(
        word.isascii() and word.isdecimal() and len(word) < 5 for word in found
    ):
        raise ValueError(f"{units.quoted(text)} names no GPUs; write 0 or 0,2")
    return [int(word) for word in found]


def filled(text: str) -> str:
    """``text``, which is not empty: an empty word mostly is a variable that is not set."""
    if not text.strip():
        raise ValueError("it is empty; leave the option away where it is not meant")
    return text


FILLED = Parsed("text", filled)
INDICES = Parsed("indices", indices)
MEMORY = Parsed("size", units.parse_memory)
DURATION = Parsed("duration", units.parse_duration)
SLURM_TIME = Parsed("time", units.parse_slurm_time)
SIGNAL = Parsed("signal", _parse_signal)
WORDS = Parsed("list", words)

#: What several commands have in common.
IDS = click.argument("ids", nargs=-1, required=True, metavar="IDS")
ADMIN = click.option("--admin", is_flag=True, help="As an administrator: anybody's jobs.")
JSON = click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")


def of_projects(text: str) -> Callable[[Any], Any]:
    """The option that chooses jobs by their projects, with Slurm's words for them too."""
    flags = ("-P", "--project", "-A", "--account", "projects")
    return click.option(*flags, type=WORDS, metavar="NAMES", help=text)
