"""Which jobs mgpu_queue lists: what the scheduler is asked, and what is left of its answer."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mgpu.cli.params import words
from mgpu.model.states import ACTIVE, ENDED, STATES
from mgpu.model.units import parse_duration, quoted
from mgpu.protocol.names import JOB_FIELDS

if TYPE_CHECKING:
    from mgpu.cli.columns import Row
    from mgpu.model.target import Name

_AT = {name: index for index, name in enumerate(JOB_FIELDS)}
_NAME_AT, _USER_AT, _STATE_AT, _MINE_AT = (_AT[it] for it in ("name", "user", "state", "mine"))
_GPUS_AT, _ENDED_AT = _AT["gpu_ids"], _AT["ended"]
#: The class of jobs that name none.
USUAL = "normal"
_DAY = 86400


def parse_states(text: str) -> list[str]:
    """Names of the states ``PD,running``; ``all`` is every one."""
    upper = [word.upper() for word in words(text)]
    found = [STATES.get(word, word) for word in upper]
    if "ALL" in found:
        return sorted(ACTIVE | ENDED)
    for state in found:
        if state not in ACTIVE | ENDED:
            raise ValueError(f"{state!r} is no state; known are {', '.join(STATES)}")
    return found


def parse_gpus(text: str) -> list[int]:
    """The numbers of ``gpu0,gpu2`` or ``0,2``."""
    numbers = [word.lower().removeprefix("gpu") for word in words(text)]
    if not numbers or not all(re.fullmatch(r"(?a)\d{1,4}", number) for number in numbers):
        raise ValueError(f"{quoted(text)} names no GPUs; write gpu0 or gpu0,gpu2")
    return [int(number) for number in numbers]


def parse_since(text: str) -> float:
    """The Unix time of ``2h`` or ``7d`` (so long ago), ``yesterday`` or a time as ``9:00``."""
    from mgpu.cli import moments, zone
    from mgpu.system import clock

    zone.settle()
    now, plain = clock.now().wall, text.strip().lower()
    if ":" not in plain:
        with suppress(ValueError):  # it is a day
            return now - parse_duration(plain.removeprefix("now-"))
    if plain == "yesterday":
        return moments.moment("today", None, now - _DAY)
    try:
        at = moments.moment(plain, None, now)
        at = moments.moment(plain, None, now - _DAY) if at > now and ":" in plain else at
    except ValueError:
        at = int(now) + 1
    if at > now:
        forms = "write 2h, 7d, 9:00, today, yesterday or 2026-12-24T18:00"
        raise ValueError(f"{quoted(text)} is not a time that has been; {forms}")
    return at


def wire_filters(options: dict[str, Any], ids: list[Name]) -> dict[str, object]:
    """What the scheduler is asked for."""
    if ids:  # nothing else, so that a job that another filter leaves out is not called unknown
        from mgpu.model.target import on_wire

        return {"scope": "all", "jobs": list(map(on_wire, ids)), "ended": True}
    states = options["states"] or []
    everyone = options["ended"] or options["users"]
    return {
        "scope": "me" if options["me"] else "all" if everyone else None,
        "users": options["users"] or [],
        "states": states,
        "ended": wants_ended(options),
        "limit": 0 if narrows(options) else options["limit"] or 0,
    }


def chosen(rows: list[Row], ids: list[Name], options: dict[str, Any]) -> list[Row]:
    """Those of the scheduler's answer that are meant."""
    if ids:
        from mgpu.cli import array_rows

        rows = let_through(array_rows.narrowed(ids, rows), options)
    if options["names"]:
        rows = _by_name(rows, options["names"])
    if options["projects"]:
        rows = [row for row in rows if row[_AT["project"]] in options["projects"]]
    if options["qos"]:
        rows = [row for row in rows if (row[_AT["qos"]] or USUAL) in options["qos"]]
    if options["gpus"]:
        rows = [row for row in rows if not set(options["gpus"]).isdisjoint(row[_GPUS_AT])]
    if options["since"]:
        rows = [row for row in rows if (row[_ENDED_AT] or options["since"]) >= options["since"]]
    return rows


def let_through(rows: list[Row], options: dict[str, Any]) -> list[Row]:
    """Those that the options for the scheduler let through, where it was not asked with them."""
    states = options["states"] or (ACTIVE | ENDED if wants_ended(options) else ACTIVE)
    users = options["users"]
    return [
        row
        for row in rows
        if row[_STATE_AT] in states
        and (not users or row[_USER_AT] in users)
        and (row[_MINE_AT] or not options["me"])
    ]


def wants_ended(options: dict[str, Any]) -> bool:
    """Whether jobs that have ended are listed."""
    states = options["states"] or []
    return bool(options["ended"] or options["since"] or ENDED.intersection(states))


def leaves_out_ended(rows: list[Row], options: dict[str, Any]) -> bool:
    """Whether any of these is not listed because it has ended, and nobody asked for a state."""
    plain = not (options["states"] or wants_ended(options))
    return plain and any(row[_STATE_AT] in ENDED for row in rows)


def narrows(options: dict[str, Any]) -> bool:
    """Whether only the first of the scheduler's answer would be too few."""
    return any(options[name] for name in ("names", "projects", "qos", "gpus", "since", "sort"))


def _by_name(rows: list[Row], patterns: list[str]) -> list[Row]:
    from fnmatch import fnmatchcase

    def fits(name: str | None) -> bool:
        return name is not None and any(fnmatchcase(name, pattern) for pattern in patterns)

    return [row for row in rows if fits(row[_NAME_AT])]
