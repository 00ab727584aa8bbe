"""Changes a configuration file and keeps what people wrote around the values."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Item, Table

from mgpu.config.problems import ConfigError, Problem

HEAD = """\
# The configuration of mgpu. All settings: docs/configuration.md, or mgpu_ctl config show.
# After a change: mgpud check, then mgpu_ctl reload.
"""


def edited(text: str, changes: Mapping[str, object], source: str = "") -> str:
    """``text`` with the settings in ``changes`` at these values, as TOML has them.

    Comments, blank lines, order and all other settings stay. Raises ConfigError where ``text`` is
    no TOML, or has a value where a table belongs.
    """
    try:
        document = tomlkit.parse(text)
        for key, value in changes.items():
            section, _, name = key.partition(".")
            _put(_table(document, section, source), name, value)
        return tomlkit.dumps(document)
    except TOMLKitError as error:
        hint = "mend it, or begin anew with --force"
        raise ConfigError([Problem(source, 0, "", str(error), hint)]) from error


def _table(document: tomlkit.TOMLDocument, section: str, source: str) -> Any:
    if section not in document:
        document[section] = tomlkit.table()
    table = document[section]
    if not isinstance(table, Mapping):
        hint = f"write [{section}] on a line alone"
        raise ConfigError([Problem(source, 0, section, "expected a table", hint)])
    return table


def _put(table: Any, name: str, value: object) -> None:
    """Set a key; a list of tables is written as ``[[section.key]]``."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        tables = tomlkit.aot()
        for one in value:
            tables.append(_inner(one))
        _replace(table, name, tables)
    elif name in table and not isinstance(table[name], AoT | Table):
        table[name] = value  # in its place, with its comment
    else:
        _replace(table, name, tomlkit.item(value))


def _inner(one: Mapping[str, object]) -> Table:
    table = tomlkit.table()
    for key, value in one.items():
        table.add(key, value)
    return table


def _replace(table: Any, name: str, item: Item | AoT) -> None:
    if name in table:
        del table[name]
    table[name] = item


def write(path: Path, text: str) -> None:
    """Put ``text`` in the place of the file: wholly, or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    old = path.stat() if path.exists() else None
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
            if old is not None:
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
            os.fchmod(file.fileno(), old.st_mode & 0o755 if old is not None else 0o644)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
