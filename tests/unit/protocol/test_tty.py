"""The pieces of a terminal: what is told is what is read, and nonsense is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.protocol import tty

SIDE = st.integers(0, 0xFFFF)


@given(SIDE, SIDE)
def test_a_size(rows: int, columns: int) -> None:
    piece = tty.size(rows, columns)
    assert piece[:1] == tty.SIZE
    assert tty.size_of(piece[1:]) == (rows, columns)


@given(st.integers(0, 2**64 - 1))
def test_what_was_left_out(count: int) -> None:
    piece = tty.lost(count)
    assert piece[:1] == tty.LOST
    assert tty.lost_of(piece[1:]) == count


def test_a_refusal() -> None:
    assert tty.refusal("no") == tty.REFUSED + b"no"


def test_kinds_differ() -> None:
    assert len({tty.DATA, tty.SIZE, tty.LOST, tty.REFUSED}) == 4


@given(st.binary(max_size=12))
def test_nonsense(body: bytes) -> None:
    if len(body) != 4:
        with pytest.raises(tty.LineError, match=f"not a size: {len(body)} bytes"):
            tty.size_of(body)
    if len(body) != 8:
        with pytest.raises(tty.LineError, match=f"not a number: {len(body)} bytes"):
            tty.lost_of(body)
