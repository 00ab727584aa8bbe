"""The kinds of values of settings about notices; see :mod:`mgpu.config.kinds`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mgpu.config.kinds import Choice, Flag, Kind, Names, Text, shown, toml_value
from mgpu.model.address import check_mail, split_url
from mgpu.model.notice import EVENTS
from mgpu.model.units import quoted

_FILE: Final = re.compile(r"(?a)@/[!-~]{1,1024}")


class Checked:
    """A text that a function judges: it raises ValueError."""

    def __init__(self, shape: str, check: Callable[[str], object], *, empty: bool = False) -> None:
        self.shape = shape + (', or ""' if empty else "")
        self._check = check
        self._empty = empty

    def parse(self, value: object) -> str:
        """The text itself."""
        if type(value) is not str or not (value or self._empty):
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        if value:
            self._check(value)
        return value

    def from_text(self, text: str) -> str:
        """The text itself."""
        return self.parse(text)


class Host(Checked):
    """A host, in small letters: they are what those of URLs are compared in."""

    def parse(self, value: object) -> str:
        """The host."""
        return super().parse(value).lower()


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


class Headers:
    """A table of header lines; a value is a text, or @ and the path of a file that holds it."""

    shape = 'a table of headers, such as { Authorization = "@/etc/mgpu/token" }'
    _NAME: Final = Text("the name of a header", r"[A-Za-z0-9-]{1,64}")
    _VALUE: Final = Text("printable characters on one line", r"[ -~]{1,4096}")

    def parse(self, value: object) -> dict[str, str]:
        """The table."""
        if type(value) is not dict:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return {self._NAME.parse(name): self._VALUE.parse(one) for name, one in value.items()}

    def from_text(self, text: str) -> dict[str, str]:
        """The table that ``text`` spells, as TOML writes it on one line."""
        return self.parse(toml_value(text))


class Tables:
    """A list of tables with the same members, each with a name of its own."""

    def __init__(self, members: Mapping[str, tuple[Kind, object]]) -> None:
        self._members = {"name": (_NAME, None), **members}
        self.shape = f"a list of tables with {', '.join(self._members)}"

    def parse(self, value: object) -> list[dict[str, Any]]:
        """The list with every member filled in."""
        if type(value) is not list:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        tables = [self._table(number, one) for number, one in enumerate(value)]
        names = [one["name"] for one in tables]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {quoted(twice[0])} is there twice")
        return tables

    def from_text(self, text: str) -> list[dict[str, Any]]:
        """The list that ``text`` spells, as TOML writes it on one line."""
        return self.parse(toml_value(text))

    def _table(self, number: int, table: object) -> dict[str, Any]:
        if type(table) is not dict:
            raise ValueError(f"[{number}]: expected a table, got {shown(table)}")
        unknown = sorted(set(table) - set(self._members))
        if unknown:
            known = ", ".join(self._members)
            raise ValueError(f"[{number}]: unknown key {quoted(unknown[0])}; there are {known}")
        missing = [name for name, (_, default) in self._members.items() if default is None]
        missing = [name for name in missing if name not in table]
        if missing:
            raise ValueError(f"[{number}]: {missing[0]} is missing")
        return {name: self._member(number, name, table) for name in self._members}

    def _member(self, number: int, name: str, table: dict[str, object]) -> Any:
        kind, default = self._members[name]
        try:
            return kind.parse(table.get(name, default))
        except ValueError as error:
            raise ValueError(f"[{number}].{name}: {error}") from error


def _check_file(text: str) -> None:
    if not _FILE.fullmatch(text):
        raise ValueError("expected @ and the path of a file that root alone can read")


def _check_url(text: str) -> None:
    if text.startswith("@"):
        _check_file(text)
    else:
        split_url(text)


def _check_host(text: str) -> None:
    if not re.fullmatch(r"(?a)[A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f:.]{2,45}", text):
        raise ValueError(f"{quoted(text)} is no host; write a name or an address, without a port")


_NAME: Final = Text("a name of letters, digits and -", r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}")
ADDRESS: Final = Checked("an address of mail", check_mail, empty=True)
HOSTS: Final = ListOf("a list of hosts", Host("a host", _check_host))
SECRET: Final = Checked("@ and the path of a file", _check_file, empty=True)
DOMAINS: Final = ListOf("a list of domains", Text("a domain", r"[A-Za-z0-9.-]{1,253}"))
_EVENTS: Final = ListOf('a list of events, or ["*"]', Choice("*", *EVENTS))
_FILTERS: Final[Mapping[str, tuple[Kind, object]]] = {
    "events": (_EVENTS, ["*"]),
    "filter_users": (Names(), []),
    "array_tasks": (Flag(), False),
}
WEBHOOKS: Final = Tables(
    {
        "url": (Checked("a URL, or @ and the path of a file that holds it", _check_url), None),
        **_FILTERS,
        "headers": (Headers(), {}),
        "secret": (SECRET, ""),
        "format": (Choice("json", "slack"), "json"),
    }
)
EMAILS: Final = Tables(
    {"to": (ListOf("a list of addresses", Checked("an address", check_mail)), None), **_FILTERS}
)
