"""Judges the raw bytes of a request before msgpack makes objects of them.

One pass over the values: depth, number, completeness, kinds, numbers. Without it a frame of 1 MiB
could ask for a million lists, or for ten thousand empty places at each of a thousand depths.
"""

from __future__ import annotations

import math
import struct

from mgpu.model.errors import MgpuError
from mgpu.protocol.names import MAX_DEPTH, MAX_NODES

_FLOAT32, _FLOAT64, _UINT64 = 0xCA, 0xCB, 0xCF
_JUDGED = -1


def _plan(tag: int) -> tuple[int, int, int] | None:
    """(bytes to step over, width of the length field among them, children or children per item)."""
    if 0x80 <= tag <= 0x8F:
        return 1, 0, (tag & 0x0F) * 2
    if 0x90 <= tag <= 0x9F:
        return 1, 0, tag & 0x0F
    if 0xA0 <= tag <= 0xBF:
        return 1 + (tag & 0x1F), 0, 0
    if tag <= 0x7F or tag >= 0xE0:
        return 1, 0, 0
    return _WIDE.get(tag)


#: None, booleans, binary, floats, integers, text, arrays, maps; extensions are not among them.
_WIDE = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), (1, 0, 0)),
    **{tag: (1 + width, width, 0) for tag, width in ((0xC4, 1), (0xC5, 2), (0xC6, 4))},
    _FLOAT32: (5, _JUDGED, 0),
    _FLOAT64: (9, _JUDGED, 0),
    **{tag: (1 + size, 0, 0) for tag, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4))},
    _UINT64: (9, _JUDGED, 0),
    **{tag: (1 + size, 0, 0) for tag, size in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8))},
    **{tag: (1 + width, width, 0) for tag, width in ((0xD9, 1), (0xDA, 2), (0xDB, 4))},
    **{tag: (1 + width, width, 1) for tag, width in ((0xDC, 2), (0xDD, 4))},
    **{tag: (1 + width, width, 2) for tag, width in ((0xDE, 2), (0xDF, 4))},
}
_PLANS = tuple(_plan(tag) for tag in range(256))


def scan(body: bytes) -> None:
    """Raise BadRequest or TooLarge unless ``body`` is one value within all limits."""
    position, nodes, end = 0, 1, len(body)
    waiting = [1]  # values still to come: of the whole, then of each container that is open
    while waiting:
        if not waiting[-1]:
            waiting.pop()
            continue
        waiting[-1] -= 1
        position, children = _step(body, position, end)
        if children:
            nodes += children
            waiting.append(children)
            _check_bounds(nodes, len(waiting) - 1)
    if position != end:
        raise MgpuError("BadRequest", f"{end - position} bytes after the end of the request")


def _step(body: bytes, position: int, end: int) -> tuple[int, int]:
    """(where the next value begins, how many values this one opens)."""
    plan = _PLANS[body[position]] if position < end else (1, 0, 0)
    if plan is None:
        raise MgpuError("BadRequest", f"a value of kind 0x{body[position]:02x} is not allowed")
    size, width, children = plan
    begin, position = position, position + size
    if width > 0:
        length = int.from_bytes(body[begin + 1 : begin + 1 + width], "big")
        children *= length
        position += 0 if children else length
    elif width == _JUDGED:
        _judge_number(body[begin:position])
    if position > end:
        raise MgpuError("BadRequest", "the request ends in the middle of a value")
    return position, children


def _check_bounds(nodes: int, depth: int) -> None:
    if nodes > MAX_NODES:
        raise MgpuError("TooLarge", f"more than {MAX_NODES} values in one request")
    if depth > MAX_DEPTH:
        raise MgpuError("TooLarge", f"nested deeper than {MAX_DEPTH}")


def _judge_number(raw: bytes) -> None:
    if raw[0] == _UINT64 and raw[1:2] >= b"\x80":
        raise MgpuError("BadRequest", "an integer does not fit 64 bits with a sign")
    form = {(_FLOAT32, 5): ">f", (_FLOAT64, 9): ">d"}.get((raw[0], len(raw)))
    if form and not math.isfinite(struct.unpack(form, raw[1:])[0]):
        raise MgpuError("BadRequest", "NaN and infinity are not numbers here")
