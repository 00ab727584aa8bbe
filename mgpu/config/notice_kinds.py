"""The kinds of values of settings about notices; see :mod:`mgpu.config.kinds`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final

from mgpu.config.compound import NAMES, ListOf, Member, TableOf, Tables
from mgpu.config.kinds import Choice, Flag, Text, shown
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


def _check_place(text: str) -> None:
    """``127.0.0.1:9105`` or ``[::1]:9105``."""
    found = re.fullmatch(r"(?a)(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})", text)
    try:
        if found is not None and 0 < int(found[3]) < 65536:
            ipaddress.IPv6Address(found[1]) if found[1] else ipaddress.IPv4Address(found[2])
            return
    except ValueError:
        pass
    raise ValueError(f'{quoted(text)} is no address and port; write as "127.0.0.1:9105"')


_NAME: Final = Text("a name of letters, digits and -", r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}")
ADDRESS: Final = Checked("an address of mail", check_mail, empty=True)
PLACE: Final = Checked('an address and a port, such as "127.0.0.1:9105"', _check_place, empty=True)
HOSTS: Final = ListOf("a list of hosts", Host("a host", _check_host))
SECRET: Final = Checked("@ and the path of a file", _check_file, empty=True)
DOMAINS: Final = ListOf("a list of domains", Text("a domain", r"[A-Za-z0-9.-]{1,253}"))
_EVENTS: Final = ListOf('a list of events, or ["*"]', Choice("*", *EVENTS))
_HEADERS: Final = TableOf(
    'a table of headers, such as { Authorization = "@/etc/mgpu/token" }',
    Text("the name of a header", r"[A-Za-z0-9-]{1,64}"),
    Text("printable characters on one line", r"[ -~]{1,4096}"),
)
_NAMED: Final = {"name": Member(_NAME, example='"lab"')}
_FILTERS: Final = {
    "events": Member(_EVENTS, ["*"]),
    "filter_users": Member(NAMES, []),
    "array_tasks": Member(Flag(), default=False),
}
WEBHOOKS: Final = Tables(
    "a list of tables with name, url, events, filter_users, array_tasks, headers, secret, format",
    {
        **_NAMED,
        "url": Member(
            Checked("a URL, or @ and the path of a file that holds it", _check_url),
            example='"@/etc/mgpu/webhook"',
        ),
        **_FILTERS,
        "headers": Member(_HEADERS, {}),
        "secret": Member(SECRET, ""),
        "format": Member(Choice("json", "slack"), "json"),
    },
    unique="name",
)
EMAILS: Final = Tables(
    "a list of tables with name, to, events, filter_users, array_tasks",
    {
        **_NAMED,
        "to": Member(
            ListOf("a list of addresses", Checked("an address", check_mail)),
            example='["admin@example.org"]',
        ),
        **_FILTERS,
    },
    unique="name",
)
