"""Which uids are one user's: those that may be given to processes in user namespaces, subuid(5)."""

from __future__ import annotations

import bisect
import os
from pathlib import Path
from typing import Final

PATH: Final = Path("/etc/subuid")
_FIELDS: Final = 3


class Payers:
    """Who is charged for what a uid uses. The file is read again when it has changed."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._version: object = None
        self._ranges: list[tuple[int, int, int]] = []

    def of(self, uid: int) -> int:
        """The uid itself; for one of a range, a number below 0 that all ranges of its user share.

        No name is looked up for that: name services can hang.
        """
        self._refresh()
        place = bisect.bisect_right(self._ranges, (uid, 1 << 32, 0)) - 1
        if place < 0:
            return uid
        start, end, payer = self._ranges[place]
        return payer if start <= uid < end else uid

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != self._version:
                self._ranges = _parsed(self._path.read_text("utf-8", "replace"))
        except OSError:  # nobody has any
            version, self._ranges = None, []
        self._version = version


def _parsed(text: str) -> list[tuple[int, int, int]]:
    """Start, end and payer of each line ``name:start:count``; what is none is left out."""
    payers: dict[str, int] = {}
    found = []
    for line in text.splitlines():
        name, *numbers = line.strip().split(":")
        if len(numbers) + 1 == _FIELDS and all(map(_is_number, numbers)):
            start, count = map(int, numbers)
            found.append((start, start + count, payers.setdefault(name, -1 - len(payers))))
    return sorted(found)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < len("4294967296") + 1
