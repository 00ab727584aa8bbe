"""How values lie in the database: msgpack arrays ``[version, kind, field...]``.

Every field has a check, which gives the value or raises: what is read is never trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgpack

from mgpu.model.job import JobSpec
from mgpu.model.states import ENDED
from mgpu.model.time import Now
from mgpu.store.base import StoreCorrupt

VERSION: Final = 1

Check = Callable[[Any], Any]
Specs = Callable[[int], JobSpec]


def integer(value: Any) -> Any:
    """An integer; true and false are none."""
    if type(value) is not int:
        raise ValueError(f"expected an integer, got {value!r}")
    return value


def number(value: Any) -> Any:
    """A finite number."""
    if type(value) not in (float, int) or not math.isfinite(value):
        raise ValueError(f"expected a number, got {value!r}")
    return value


def text(value: Any) -> Any:
    """A text."""
    if type(value) is not str:
        raise ValueError(f"expected a text, got {value!r}")
    return value


def flag(value: Any) -> Any:
    """True or false."""
    if type(value) is not bool:
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def now(value: Any) -> Now:
    """A moment on both clocks."""
    wall, boot = value
    return Now(number(wall), number(boot))


def texts(value: Any) -> Any:
    """A list of texts."""
    if type(value) is not tuple or not all(type(item) is str for item in value):
        raise ValueError(f"expected a list of texts, got {value!r}")
    return value


def pair(value: Any) -> Any:
    """Two integers."""
    first, second = value
    return (integer(first), integer(second))


def end_state(value: Any) -> Any:
    """The state of a job that has ended."""
    if value not in ENDED:
        raise ValueError(f"{value!r} is no state of a job that has ended")
    return value


def check_uid(value: Any) -> Any:
    """A uid that an account can have: -1 and what does not fit 32 bits mean "unchanged"."""
    if type(value) is not int or not 0 <= value < 2**32 - 1:
        raise ValueError(f"{value!r} is no uid")
    return value


def or_none(check: Check) -> Check:
    """The check that allows nothing as well."""
    return lambda value: None if value is None else check(value)


class Kind(NamedTuple):
    """One row of the tables: its number, its class, its fields in stored order."""

    number: int
    cls: Any
    fields: tuple[tuple[str, Check], ...]


class Codec:
    """Packs the values of one table and reads them back, checking every field.

    Of several kinds of one class the last one is written. ``plain`` says what is stored of a
    field's value that msgpack does not know.
    """

    def __init__(
        self, name: str, kinds: tuple[Kind, ...], plain: Callable[[object], Any] | None = None
    ) -> None:
        self.name = name
        self._plain = plain
        self._by_class = {kind.cls: kind for kind in kinds}
        self._by_number = {kind.number: kind for kind in kinds}

    def pack(self, value: object) -> bytes:
        """The bytes of ``value``."""
        kind = self._by_class[type(value)]
        fields = [getattr(value, name) for name, _ in kind.fields]
        packed: bytes = msgpack.packb([VERSION, kind.number, *fields], default=self._plain)
        return packed

    def unpack(self, data: bytes, where: str) -> Any:
        """The value of ``data``; raises :class:`StoreCorrupt` naming ``where`` it was found."""
        try:
            return self._build(msgpack.unpackb(data, use_list=False))
        except StoreCorrupt:
            raise
        except Exception as error:  # msgpack raises many kinds; all mean the same here
            raise corrupt(where, f"{self.name}: {error}") from error

    def _build(self, record: Any) -> Any:
        version, number, *values = record
        if version != VERSION:
            raise ValueError(f"unknown record version {version!r}")
        kind = self._by_number.get(number)
        if kind is None:
            raise ValueError(f"unknown kind {number!r}")
        if len(values) != len(kind.fields):
            raise ValueError(f"{len(values)} fields instead of {len(kind.fields)}")
        checks = zip(kind.fields, values, strict=True)
        return kind.cls(*[check(value) for (_, check), value in checks])


def corrupt(where: str, what: str) -> StoreCorrupt:
    """The error for a row that cannot be trusted."""
    return StoreCorrupt(f"{where}: {what}", "restore a backup, or see docs/recovery.md")
