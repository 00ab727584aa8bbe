"""The line between a client and a supervisor: one datagram for each piece of a terminal's bytes.

It runs over ``AF_UNIX`` ``SOCK_SEQPACKET``, so a piece is whole or absent. The first byte tells
the kind. Self-contained (standard library), since supervisors use it.
"""

from __future__ import annotations

import struct

#: Bytes of the terminal, in either direction.
DATA = b"d"
#: The client's terminal has so many rows and columns.
SIZE = b"s"
#: So many bytes of output were left out, because the client was too slow for them.
LOST = b"l"
#: The client is not attached, for this reason.
REFUSED = b"r"

#: The largest piece, with its first byte.
MAX_PIECE = 32 * 1024
_SIZE = struct.Struct("!HH")
_LOST = struct.Struct("!Q")


class LineError(Exception):
    """The peer sent something that is no piece of this line."""


def size(rows: int, columns: int) -> bytes:
    """The piece that tells the size of a terminal."""
    return SIZE + _SIZE.pack(rows, columns)


def lost(count: int) -> bytes:
    """The piece that stands for ``count`` bytes that were left out."""
    return LOST + _LOST.pack(count)


def refusal(why: str) -> bytes:
    """The piece that says why a client is not attached."""
    return REFUSED + why.encode()


def size_of(body: bytes) -> tuple[int, int]:
    """Rows and columns of a ``SIZE`` piece."""
    try:
        rows, columns = _SIZE.unpack(body)
    except struct.error as error:
        raise LineError(f"not a size: {len(body)} bytes") from error
    return rows, columns


def lost_of(body: bytes) -> int:
    """The number of bytes of a ``LOST`` piece."""
    try:
        (count,) = _LOST.unpack(body)
    except struct.error as error:
        raise LineError(f"not a number: {len(body)} bytes") from error
    return int(count)
