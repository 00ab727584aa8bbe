"""What a full-screen program changed of the terminal is undone, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.client.modes import Modes


def undone(*pieces: bytes) -> bytes:
    """What undoes the effect of ``pieces``."""
    modes = Modes()
    for piece in pieces:
        modes.shown(piece)
    return modes.undo()


@pytest.mark.parametrize(
    ("shown", "undo"),
    [
        (b"plain text", b""),
        (b"\x1b[?1049h\x1b[1;24r\x1b=text", b"\x1b>\x1b[?1049l"),
        (b"\x1b[?1049h\x1b[?1049l", b""),
        (b"\x1b=\x1b>", b""),
        (b"\x1b[?25l", b"\x1b[?25h"),
        (b"\x1b[?25l\x1b[?25h", b""),
        (b"\x1b[?25h\x1b[?7h", b""),
        (b"\x1b[?12;25l", b"\x1b[?25h"),
        (b"\x1b[?1049;1006;1003h", b"\x1b[?1003l\x1b[?1006l\x1b[?1049l"),
        (b"\x1b[?1006;2004h\x1b[?1006l", b"\x1b[?2004l"),
        (b"\x1b[?1034h\x1b[?99999h\x1b[?;h\x1b[?h", b""),
        (b"\x1b[25l\x1b[4h", b""),
        (b"\x1b[?1049h\x1b=\x1b[?25l\x1bc", b""),
    ],
)
def test_what_was_changed_is_undone(shown: bytes, undo: bytes) -> None:
    assert undone(shown) == undo


SHOWN = b"a\x1b[?1049h\x1b=\x1b[?1000;1006hb\x1b[m\x1b[?25l\x1b[?1000l"


@given(st.lists(st.integers(0, len(SHOWN)), max_size=5))
def test_it_does_not_matter_where_it_comes_apart(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(SHOWN)]
    pieces = [SHOWN[a:b] for a, b in pairwise(ends)]
    assert undone(*pieces) == b"\x1b>\x1b[?25h\x1b[?1006l\x1b[?1049l"


def test_once_is_enough() -> None:
    modes = Modes()
    modes.shown(b"\x1b[?1049h\x1b[?1")
    assert modes.undo() == b"\x1b[?1049l"
    modes.shown(b"049h")
    assert modes.undo() == b""


@given(st.lists(st.binary(max_size=80)))
def test_nothing_that_is_shown_does_harm(pieces: list[bytes]) -> None:
    assert undone(*pieces, b"\x1b[;" * 50, b"\x1bc") == b""
