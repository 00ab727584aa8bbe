"""Frames without I/O: four bytes of big-endian length, then that many bytes."""

from __future__ import annotations

from mgpu.model.errors import MgpuError
from mgpu.protocol.names import MAX_REQUEST

HEADER = 4


def frame(body: bytes, limit: int = MAX_REQUEST) -> bytes:
    """``body`` as one frame; TooLarge when it has more than ``limit`` bytes."""
    _check_length(len(body), limit)
    return len(body).to_bytes(HEADER, "big") + body


class FrameDecoder:
    """Cuts a stream into bodies; holds at most one unfinished frame beside what was just fed.

    A length is judged as soon as its four bytes are there, so a false one costs no memory. After
    an error the stream has no meaning any more: close it.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_REQUEST) -> None:
        self._buffer = bytearray()
        self._limit = limit

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished frame; 0 between frames."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """All bodies that ``data`` completes, in order."""
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        start = 0
        while (end := self._end_of_frame(start)) is not None:
            bodies.append(bytes(memoryview(buffer)[start + HEADER : end]))
            start = end
        del buffer[:start]
        return bodies

    def _end_of_frame(self, start: int) -> int | None:
        begin = start + HEADER
        if len(self._buffer) < begin:
            return None
        length = int.from_bytes(self._buffer[start:begin], "big")
        _check_length(length, self._limit)
        end = begin + length
        return end if len(self._buffer) >= end else None


def _check_length(length: int, limit: int) -> None:
    if length == 0:
        raise MgpuError("BadRequest", "empty frame")
    if length > limit:
        raise MgpuError("TooLarge", f"frame of {length} bytes; at most {limit} are allowed")
