"""A manual page in roff (groff_man(7))."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mgpu.cli.document import Entry, Page

_WIDTH = 70
_TITLES = {1: "User Commands", 8: "System Administration"}


def written(page: Page, files: Iterable[tuple[str, str]]) -> str:
    """The page."""
    return "\n".join(_lines(page, files)) + "\n"


def _lines(page: Page, files: Iterable[tuple[str, str]]) -> Iterator[str]:
    first, *others = page.entries
    yield '.\\" Written by python -m mgpu.cli.document'
    yield f'.TH {page.name.upper()} {page.section} "" mgpu "{_TITLES[page.section]}"'
    yield from (".SH NAME", _text(f"{page.name} - {first.title[:1].lower()}{first.title[1:]}"))
    yield from (".SH SYNOPSIS", *_usage(first))
    yield from (".SH DESCRIPTION", *_paragraphs(first))
    yield from (".SH OPTIONS", *_list(first.options))
    if page.words or others:
        yield ".SH COMMANDS"
    yield from _list(page.words)
    for entry in others:
        yield from (f'.SS "{_text(entry.path)}"', *_usage(entry), ".PP", *_paragraphs(entry))
        yield from _list(entry.options)
    examples = [example for entry in page.entries for example in entry.examples]
    if examples:
        yield ".SH EXAMPLES"
    for number, (what, line) in enumerate(examples):
        yield from [".PP"] * (number > 0)
        yield from [_text(f"{what[:1].upper()}{what[1:]}:")] * bool(what)
        yield from (".nf", _text(line), ".fi")
    yield from (".SH EXIT STATUS", *_list(page.status))
    yield from (".SH ENVIRONMENT", *_list(page.environment))
    yield from (".SH FILES", *_list(files))
    yield ".SH SEE ALSO"
    yield ",\n".join(re.sub(r"(.+)\((\d)\)", r".BR \1 (\2)", name) for name in page.see)


def _usage(entry: Entry) -> list[str]:
    return [f'.B "{_text(entry.path)}"', _text(entry.usage.removeprefix(entry.path).strip())]


def _paragraphs(entry: Entry) -> Iterator[str]:
    for number, text in enumerate(entry.text):
        yield from [".PP"] * (number > 0)
        if text.startswith("\b\n"):
            yield from (".nf", *map(_text, text.splitlines()[1:]), ".fi")
        else:
            yield from _wrapped(text)


def _list(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in rows:
        yield from (".TP", f'.B "{_text(name)}"', *_wrapped(text))


def _wrapped(text: str) -> list[str]:
    return list(map(_text, textwrap.wrap(text, _WIDTH, break_on_hyphens=False)))


def _text(text: str) -> str:
    """As roff prints it: no letter is a request, a hyphen is one that can be copied."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return re.sub(r"^(?=[.'])", r"\\&", plain)
