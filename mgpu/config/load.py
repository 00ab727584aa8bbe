"""Loads the settings: flag before variable before file before default; reports every problem."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from mgpu.config.lines import lines_of
from mgpu.config.problems import ConfigError, Problem
from mgpu.config.settings import ALIASES, BY_KEY, SECTIONS, SETTINGS, Setting
from mgpu.config.trust import read_trusted
from mgpu.model.units import quoted

DEFAULT_PATH: Final = Path("/etc/mgpu/config.toml")
_AT_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")

#: Where a value comes from that neither file nor variable gives.
DEFAULT: Final = "default"
FLAG: Final = "command line"

Settings = dict[str, Any]


class Resolved(NamedTuple):
    """The value of each setting, and where it comes from: ``default``, ``file F:3``, ..."""

    values: Settings
    origins: dict[str, str]


class _Gathering:
    """Values found so far, and all that is wrong with what was looked at."""

    def __init__(self) -> None:
        self.values: Settings = {s.key: s.kind.parse(s.default) for s in SETTINGS}
        self.origins = dict.fromkeys(self.values, DEFAULT)
        self.problems: list[Problem] = []

    def take(self, setting: Setting, value: object, source: str, line: int = 0) -> None:
        """Use a value as TOML gives it."""
        try:
            self.values[setting.key] = setting.kind.parse(value)
            self.origins[setting.key] = f"file {source}:{line}"
        except ValueError as error:
            self.problems.append(Problem(source, line, setting.key, str(error)))

    def take_text(self, setting: Setting, text: str, source: str) -> None:
        """Use a value as a flag or a variable spells it."""
        try:
            self.values[setting.key] = setting.kind.from_text(text)
            self.origins[setting.key] = source if source == FLAG else f"variable {source}"
        except ValueError as error:
            self.problems.append(Problem(source, 0, setting.key, str(error)))


def load_settings(
    path: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, str | None] | None = None,
) -> Settings:
    """The settings as a flat dictionary ``{"section.key": value}`` of plain values.

    Arguments and errors are those of :func:`resolve`.
    """
    return resolve(path, env, flags).values


def resolve(
    path: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, str | None] | None = None,
) -> Resolved:
    """The settings, and where each of them comes from.

    ``path`` None means ``MGPU_CONFIG`` of ``env``, else :data:`DEFAULT_PATH` if that exists.
    ``flags`` are texts by key; None is "not given". Raises :class:`ConfigError` with all problems.
    """
    found, problems = resolve_good(path, env, flags)
    if problems:
        raise ConfigError(problems)
    return found


def resolve_good(
    path: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, str | None] | None = None,
) -> tuple[Resolved, list[Problem]]:
    """:func:`resolve` for what must go on: the values that are good, and all problems."""
    env = env or {}
    gathering = _Gathering()
    file = config_file(path, env)
    if file is not None:
        _take_file(gathering, file)
    for setting, variable in _variables(env):
        gathering.take_text(setting, env[variable], variable)
    for key, text in (flags or {}).items():
        if text is not None:
            gathering.take_text(BY_KEY[key], text, FLAG)
    return Resolved(gathering.values, gathering.origins), gathering.problems


def config_file(path: Path | str | None, env: Mapping[str, str]) -> Path | None:
    """The file that :func:`load_settings` reads with these arguments; None for the defaults."""
    named = path or env.get("MGPU_CONFIG")
    if named:
        return Path(named).absolute()
    # A link to nothing is a file that cannot be read, not one that nobody has written.
    return DEFAULT_PATH if os.path.lexists(DEFAULT_PATH) else None


def _variables(env: Mapping[str, str]) -> Iterator[tuple[Setting, str]]:
    for name, key in ALIASES.items():
        if name in env:
            yield BY_KEY[key], name
    for setting in SETTINGS:
        if setting.variable in env:
            yield setting, setting.variable


def _take_file(gathering: _Gathering, path: Path) -> None:
    source = str(path)
    try:
        text, problems = read_trusted(path)
    except OSError as error:
        gathering.problems.append(Problem(source, 0, "", f"{error.strerror}"))
        return
    gathering.problems += problems
    _take_text(gathering, text, source)


def resolve_text(text: str, source: str) -> Resolved:
    """The settings of a file that holds ``text`` and is called ``source``."""
    gathering = _Gathering()
    _take_text(gathering, text, source)
    if gathering.problems:
        raise ConfigError(gathering.problems)
    return Resolved(gathering.values, gathering.origins)


def _take_text(gathering: _Gathering, text: str, source: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        gathering.problems.append(_syntax(source, str(error)))
        return
    _take_document(gathering, document, source, lines_of(text))


def _syntax(source: str, message: str) -> Problem:
    place = _AT_LINE.search(message)
    line = int(place[1]) if place else 0
    return Problem(source, line, "", _AT_LINE.sub("", message), "see https://toml.io")


def _take_document(
    gathering: _Gathering, document: Mapping[str, Any], source: str, lines: Mapping[str, int]
) -> None:
    for section, table in document.items():
        if section not in SECTIONS or not isinstance(table, dict):
            gathering.problems.append(_stray(section, table, source, lines))
            continue
        for name, value in table.items():
            key = f"{section}.{name}"
            line = lines.get(key, lines.get(section, 0))
            if key in BY_KEY:
                gathering.take(BY_KEY[key], value, source, line)
            else:
                gathering.problems.append(_unknown(key, source, line))


def _stray(name: str, value: object, source: str, lines: Mapping[str, int]) -> Problem:
    line = lines.get(name, 0)
    if name in SECTIONS:
        return Problem(source, line, name, "expected a table", f"write [{name}] on a line alone")
    if isinstance(value, dict):
        hint = _nearest(name, list(SECTIONS), "the tables are {}")
        return Problem(source, line, "", f"unknown table {quoted(name)}", hint)
    owners = [setting for setting in SETTINGS if setting.name == name]
    hint = f"write it below [{owners[0].section}]" if owners else "keys stand in tables"
    return Problem(source, line, "", f"unknown key {quoted(name)}", hint)


def _unknown(key: str, source: str, line: int) -> Problem:
    section, _, name = key.partition(".")
    owners = [setting.section for setting in SETTINGS if setting.name == name]
    if owners:
        hint = f"it belongs below [{owners[0]}]"
    else:
        names = [setting.name for setting in SETTINGS if setting.section == section]
        hint = _nearest(name, names, f"[{section}] knows {{}}")
    return Problem(source, line, "", f"unknown key {quoted(key)}", hint)


def _nearest(name: str, known: list[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else otherwise.format(", ".join(known))
