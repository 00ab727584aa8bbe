"""Jobs by how new they are: ``@`` is the caller's newest one, ``@~1`` the one before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mgpu.client import Client

#: At the begin of a name; what follows may be the tasks of an array.
_NEWEST = r"(?a)(?<![^,])@(?:~(\d{1,9}))?(?=[,_]|$)"


def with_numbers(words: Iterable[str]) -> list[str]:
    """``words`` with numbers for ``@``; it is asked for once, since a newer job may come soon.

    Raises MgpuError where the caller has no such job.
    """
    from mgpu.cli.base import connect, where

    context = click.get_current_context(silent=True)
    admin = context is not None and context.params.get("admin") is True
    with connect(*where(context), admin=admin) as client:
        return [_numbered(client, word) for word in words]


def _numbered(client: Client, word: str) -> str:
    return re.sub(_NEWEST, lambda found: str(client.newest(int(found[1] or 0))), word)
