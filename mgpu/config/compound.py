"""The kinds of values that are made of others: lists and tables; see :mod:`mgpu.config.kinds`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mgpu.config.kinds import Kind, Text, shown, toml_value
from mgpu.model.units import quoted


class ListOf:
    """A list of values of one kind."""

    def __init__(self, shape: str, kind: Kind) -> None:
        self.shape = shape
        self._kind = kind

    def parse(self, value: object) -> list[Any]:
        """The list."""
        if type(value) is not list:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return [self._kind.parse(one) for one in value]

    def from_text(self, text: str) -> list[Any]:
        """The values that ``text`` lists, with commas or as TOML writes them."""
        if text.strip().startswith("["):
            return self.parse(toml_value(text))
        return [self._kind.from_text(one.strip()) for one in text.split(",") if one.strip()]


class TableOf:
    """A table of names of one kind and values of another."""

    def __init__(self, shape: str, name: Kind, kind: Kind) -> None:
        self.shape = shape
        self._name = name
        self._kind = kind

    def parse(self, value: object) -> dict[str, Any]:
        """The table."""
        if type(value) is not dict:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return {
            self._name.parse(name): within(f"{name}: ", self._kind, one)
            for name, one in value.items()
        }

    def from_text(self, text: str) -> dict[str, Any]:
        """The table that ``text`` spells, as TOML writes it on one line."""
        return self.parse(toml_value(text))


class Member(NamedTuple):
    """One member of a table: left out where it is not given and has no default.

    It must be given where there is an ``example`` of what to write.
    """

    kind: Kind
    default: object = None
    example: str = ""


class Tables:
    """A list of tables with the same members, each with another ``unique`` one."""

    def __init__(self, shape: str, members: Mapping[str, Member], unique: str = "") -> None:
        self.shape = shape
        self._members = members
        self._unique = unique

    def parse(self, value: object) -> list[dict[str, Any]]:
        """The list with defaults filled in."""
        if type(value) is not list:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        tables = [self._table(f"[{number}]", one) for number, one in enumerate(value)]
        names = [table[self._unique] for table in tables] if self._unique else []
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the {self._unique} {quoted(twice[0])} is there twice")
        return tables

    def from_text(self, text: str) -> list[dict[str, Any]]:
        """The list that ``text`` spells, as TOML writes it on one line."""
        return self.parse(toml_value(text))

    def _table(self, at: str, table: object) -> dict[str, Any]:
        if type(table) is not dict:
            raise ValueError(f"{at}: expected a table, got {shown(table)}")
        unknown = sorted(set(table) - set(self._members))
        if unknown:
            known = ", ".join(self._members)
            raise ValueError(f"{at}: unknown key {quoted(unknown[0])}; there are {known}")
        read = {}
        for name, member in self._members.items():
            if name not in table and member.example:
                raise ValueError(f"{at}: {name} is missing; write {name} = {member.example}")
            if name in table or member.default is not None:
                given = table.get(name, member.default)
                read[name] = within(f"{at}.{name}: ", member.kind, given)
        return read


def within(at: str, kind: Kind, value: object) -> Any:
    """What ``kind`` makes of ``value``; what is wrong with it is told with where it is."""
    try:
        return kind.parse(value)
    except ValueError as error:
        raise ValueError(f"{at}{error}") from error


NAMES: Final = ListOf("a list of names", Text("a name", r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"))
PEOPLE: Final = ListOf(
    'a list of users, and groups behind @, such as ["ada", "@lab"]',
    Text("a user, or a group behind @", r"@?[A-Za-z_][A-Za-z0-9_.-]{0,31}"),
)
