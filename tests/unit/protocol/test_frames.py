"""Frames: cut and put together, lengths judged before anything is kept."""

from __future__ import annotations

import pytest

from mgpu.model.errors import MgpuError
from mgpu.protocol.frames import FrameDecoder, frame
from mgpu.protocol.names import MAX_REQUEST


def test_golden_bytes() -> None:
    assert frame(b"abc") == b"\0\0\0\3abc"


def test_one_byte_at_a_time() -> None:
    decoder = FrameDecoder()
    seen = [body for byte in frame(b"abc") + frame(b"d") for body in decoder.feed(bytes([byte]))]
    assert seen == [b"abc", b"d"]
    assert decoder.buffered == 0


def test_many_in_one_piece_and_a_rest() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(frame(b"a") + frame(b"b") + b"\0\0") == [b"a", b"b"]
    assert decoder.buffered == 2


@pytest.mark.parametrize("length", [MAX_REQUEST + 1, 2**31, 2**32 - 1])
def test_too_long_is_refused_by_its_four_bytes(length: int) -> None:
    decoder = FrameDecoder()
    with pytest.raises(
        MgpuError, match=f"frame of {length} bytes; at most {MAX_REQUEST}"
    ) as caught:
        decoder.feed(length.to_bytes(4, "big"))
    assert caught.value.code == "TooLarge"


def test_the_longest_passes() -> None:
    body = b"x" * MAX_REQUEST
    assert FrameDecoder().feed(frame(body)) == [body]


def test_length_zero_is_refused() -> None:
    with pytest.raises(MgpuError, match="empty frame") as caught:
        FrameDecoder().feed(bytes(4))
    assert caught.value.code == "BadRequest"


@pytest.mark.parametrize("body", [b"", b"x" * (MAX_REQUEST + 1)])
def test_what_the_other_end_would_refuse_is_not_sent(body: bytes) -> None:
    with pytest.raises(MgpuError):
        frame(body)
