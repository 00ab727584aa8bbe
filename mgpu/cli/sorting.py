"""The order of mgpu_queue --sort."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

from mgpu.cli.columns import Row
from mgpu.model.states import CODES
from mgpu.model.units import quoted
from mgpu.protocol.names import JOB_FIELDS

_AT = {name: index for index, name in enumerate(JOB_FIELDS)}
#: squeue's letters -> what is compared.
_LETTERS = {
    "A": "id", "C": "cpus", "E": "dependency", "F": "array", "G": "gpus", "L": "left",
    "M": "elapsed", "N": "gpu_ids", "Q": "priority", "S": "started", "T": "state",
    "V": "submitted", "Z": "cwd", "a": "project", "b": "gpus", "c": "cpus", "e": "ended",
    "f": "gpu_type", "h": "exclusive", "i": "id", "j": "name", "k": "note", "l": "time_limit",
    "m": "gpu_mem", "o": "command", "p": "priority", "q": "qos", "r": "reason", "t": "state",
    "u": "user", "x": "peak",
}  # fmt: skip
_STATES = {state: place for place, state in enumerate(CODES)}
_ENDLESS = float("inf")


class Key(NamedTuple):
    """What is compared, and whether the greatest comes first."""

    value: Callable[[Row], Any]
    descending: bool


def parse_sort(text: str) -> list[Key]:
    """Read ``t,-M`` or ``state,-TimeUsed``: ``-`` before a field turns its order around."""
    fields = [word.strip() for word in text.split(",") if word.strip()]
    if not fields:
        raise ValueError(f"{quoted(text)} names no field; write for example t,-M or user,-priority")
    return [Key(_value(word.lstrip("+-")), word.startswith("-")) for word in fields]


def in_order(rows: list[Row], keys: list[Key]) -> list[Row]:
    """The rows in the order of ``keys``; rows that are alike stay as they are."""
    for key in reversed(keys):
        rows = sorted(rows, key=key.value, reverse=key.descending)
    return rows


def _value(word: str) -> Callable[[Row], Any]:
    field = _field(word)
    if field == "state":
        return lambda row: _STATES.get(row[_AT["state"]], len(_STATES))
    if field == "id":
        return _place
    if field == "left":
        return _left
    if field == "time_limit":
        return lambda row: row[_AT["time_limit"]] or _ENDLESS
    get = itemgetter(_AT[field])
    return lambda row: _comparable(get(row))


def _field(word: str) -> str:
    if word in _LETTERS:
        return _LETTERS[word]
    from mgpu.cli import fields

    plain = fields.plain(word)
    known = {fields.plain(name): letter for name, letter in fields.LETTERS.items()}
    own = {fields.plain(name): name for name in JOB_FIELDS if name not in {"mine", "params"}}
    if known.get(plain) in _LETTERS:
        return _LETTERS[known[plain]]
    if plain in own:
        return own[plain]
    raise ValueError(f"cannot sort by {quoted(word)}{fields.nearest(word)}")


def _comparable(value: Any) -> tuple[bool, Any]:
    """What is not known comes first, as squeue does it."""
    return value is not None, value if value is not None else 0


def _place(row: Row) -> tuple[int, list[int]]:
    tasks = re.findall(r"\d+", row[_AT["tasks"]][:20])
    return row[_AT["array"]] or row[_AT["id"]], list(map(int, tasks[:1]))


def _left(row: Row) -> float:
    limit, elapsed = row[_AT["time_limit"]], row[_AT["elapsed"]]
    return limit - (elapsed or 0) if limit else _ENDLESS
