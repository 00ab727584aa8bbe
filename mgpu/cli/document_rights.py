"""docs/reference/rights.md: who may ask for which operation, from the role table itself."""

from __future__ import annotations

from typing import Final

from mgpu.core.access import ADMIN, OTHER, OWNER, RESERVER, ROOT, TABLE, VIEWER
from mgpu.protocol import names

_HEAD: Final = """\
# Rights

Which operation of the protocol is for whom. An operation that is not in this table does not exist,
and one without a mark in a column is denied there. Who somebody is comes from the kernel.

- **owner**: of the job in question; where none is, the caller. **others**: everybody else.
- **administrator**: who came by `admin.sock`. **root**: also on `mgpu.sock`, as far as marked.
- **reserver**: named in `access.reserve`. **viewer**: named in `access.see_all`; a mark there means
  to see of everybody's jobs what is private otherwise.
- **audited**: each such request is kept, allowed or denied; `mgpu_ctl audit` shows it.

This page is written by `python -m mgpu.cli.document`; change `mgpu/core/access.py`.

| operation | owner | others | administrator | root | reserver | viewer | audited |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
_COLUMNS: Final = (OWNER, OTHER, ADMIN, ROOT, RESERVER, VIEWER)


def written() -> str:
    """The page as Markdown."""
    return _HEAD + "".join(_row(operation) for operation in names.OPERATIONS)


def _row(operation: str) -> str:
    marks = ["yes" if role in TABLE[operation] else "" for role in _COLUMNS]
    marks.append("yes" if operation in names.CHANGES else "")
    return f"| `{operation}` | {' | '.join(marks)} |\n".replace("  |", " |")
