"""A page of ``docs/reference`` as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mgpu.cli.document import Entry, Page


def written(page: Page) -> str:
    """The page."""
    return "\n\n".join(_blocks(page)) + "\n"


def _blocks(page: Page) -> Iterator[str]:
    first, *others = page.entries
    yield f"# {page.name}"
    yield from _entry(first)
    if page.words:
        yield "## Commands"
        yield _table("command", page.words)
    for entry in others:
        yield f"## {entry.path}"
        yield from _entry(entry)
    yield "## Exit status"
    yield _table("status", page.status)
    if page.section == 1:
        yield "What each error means: [errors](errors.md)."
    yield "## Environment"
    yield _table("variable", page.environment)
    yield ("This page is written by `python -m mgpu.cli.document` from the command's own "
           "definitions.")  # fmt: skip


def _entry(entry: Entry) -> Iterator[str]:
    yield f"    {entry.usage}"
    yield from map(_paragraph, entry.text)
    for what, line in entry.examples:
        yield f"Example{' ' * bool(what)}{what}:"
        yield f"```console\n$ {line}\n```"
    yield _table("option", entry.options)


def _paragraph(text: str) -> str:
    if not text.startswith("\b\n"):
        return _prose(text)
    return "\n".join(f"    {line}" for line in text.splitlines()[1:])


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| `{_cell(name)}` | {_prose(_cell(text))} |" for name, text in rows]
    return "\n".join([f"| {title} | meaning |", "| --- | --- |", *lines])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
