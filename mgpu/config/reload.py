"""Reads the configuration again for a daemon that runs, in a process of its own.

The launcher starts it with two descriptors: what holds now, and a file for the answer. Everything
is judged before anything is told, so a bad configuration changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import msgpack

from mgpu.config import machine
from mgpu.config.load import Resolved, config_file, resolve
from mgpu.config.problems import ConfigError, Problem
from mgpu.config.settings import SETTINGS

#: What the settings of a running daemon hold besides their values, for the next reload.
PATH: Final = "config.path"
NAMED: Final = "config.named"
FLAGS: Final = "config.flags"
ORIGINS: Final = "config.origins"
#: Settings whose new values wait for the next start, as the file writes them now.
WAITING: Final = "config.waiting"


def packed(resolved: Resolved, named: str, flags: Mapping[str, str | None]) -> dict[str, Any]:
    """The settings of a daemon that starts with them; ``named`` is the file it was told to read."""
    given = {key: text for key, text in flags.items() if text is not None}
    return {
        **resolved.values,
        PATH: str(config_file(named or None, os.environ) or ""),
        NAMED: named,
        FLAGS: given,
        ORIGINS: resolved.origins,
        WAITING: {},
    }


def answer(current: Mapping[str, Any]) -> dict[str, Any]:
    """The settings to go on with, the keys that change; or all that is wrong with them.

    What needs a restart keeps its value.
    """
    named, flags = current[NAMED], current[FLAGS]
    if current[PATH] and config_file(named or None, os.environ) is None:
        # Its defaults would let in whom it kept out.
        hint = "put it back, or restart mgpud to go on by the defaults"
        return {"problems": [str(Problem(current[PATH], 0, "", "the file is gone", hint))]}
    try:
        found = packed(resolve(named or None, os.environ, flags), named, flags)
    except ConfigError as error:
        return {"problems": [str(problem) for problem in error.problems]}
    # What comes from msgpack has lists where the table has tuples.
    fresh: dict[str, Any] = msgpack.unpackb(msgpack.packb(found))
    changed = []
    for setting in SETTINGS:
        key = setting.key
        if fresh[key] != current.get(key):
            if setting.restart:
                fresh[WAITING][key], fresh[key] = fresh[key], current[key]
                fresh[ORIGINS][key] = current[ORIGINS][key]
            else:
                changed.append(key)
    return {"settings": fresh, "changed": changed, "waiting": sorted(fresh[WAITING])}


def _with_account(told: dict[str, Any]) -> dict[str, Any]:
    """The answer with whom notices and metrics run as, whom the launcher cannot look up itself."""
    if "settings" not in told:
        return told
    found = machine.helper_account(told["settings"], told["settings"][ORIGINS])
    return {"problems": [str(found)]} if isinstance(found, Problem) else {**told, "account": found}


def main(current: int, out: int) -> None:
    """Read what holds from one descriptor and write the answer to the other."""
    known = msgpack.unpackb(os.pread(current, os.fstat(current).st_size, 0))
    os.write(out, msgpack.packb(_with_account(answer(known))))
