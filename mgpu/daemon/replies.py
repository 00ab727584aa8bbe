"""The core's answers to wishes, as they go over the wire."""

from __future__ import annotations

from typing import Any

from mgpu.core.orders import Kept
from mgpu.core.wishes import Accepted, Outcomes
from mgpu.model.target import on_wire


def body_of(reply: object) -> dict[str, Any]:
    """The core's answer to a wish as the body of a reply on the wire."""
    if isinstance(reply, Accepted):
        return {"first": reply.first, "count": reply.count}
    if isinstance(reply, Outcomes):
        return {"jobs": [[on_wire(name), how] for name, how in reply.jobs]}
    if isinstance(reply, Kept):
        return {"key": reply.key, "note": reply.note} if reply.note else {"key": reply.key}
    raise TypeError(f"not the answer to a wish: {reply!r}")
