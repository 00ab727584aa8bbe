"""The values of one task of a parameter sweep, and how they get into the words of its command.

What the user gave is only used here after the drop, by the job's child. The rules are those of
``mgpu.model.sweep``, on bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def values(axes: Any, task: int) -> dict[bytes, bytes]:
    """The parameters of a task; ``axes`` are lists of names and rows, the last varies fastest."""
    found: dict[bytes, bytes] = {}
    for names, rows in reversed(axes):
        task, place = divmod(task, len(rows))
        pairs = zip(names, rows[place], strict=True)
        found.update((name.encode(), value.encode()) for name, value in pairs)
    return found


def expand(word: bytes, values: dict[bytes, bytes]) -> bytes:
    """``word`` with ``{name}`` replaced where it names a parameter, ``{{name}}`` by ``{name}``."""
    out, rest = b"", word
    while True:
        text, brace, rest = rest.partition(b"{")
        out += text + brace
        if not brace:
            return out
        doubled = rest.startswith(b"{")
        name, close, after = rest[doubled:].partition(b"}")
        if not close or name not in values or (doubled and not after.startswith(b"}")):
            continue
        out = out + name + close if doubled else out[:-1] + values[name]
        rest = after[1:] if doubled else after
