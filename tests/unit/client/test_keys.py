"""What is typed into an attached terminal goes to the job, but for the keys that detach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.client.keys import Keys


def test_control_backslash_d_detaches_and_what_follows_is_for_nobody() -> None:
    keys = Keys()
    assert keys.typed(b"ls\x1cdrm\n") == b"ls"
    assert keys.detached


def test_the_two_keys_may_come_apart() -> None:
    keys = Keys()
    assert keys.typed(b"a\x1c") == b"a"
    assert not keys.detached
    assert keys.typed(b"d") == b""
    assert keys.detached


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        (b"\x1c\x1c", b"\x1c"),
        (b"\x1cx", b"\x1cx"),
        (b"\x1c\x1cd", b"\x1cd"),
        (b"\x03\x04\x1b[A\xff", b"\x03\x04\x1b[A\xff"),
    ],
)
def test_other_keys_are_the_jobs(typed: bytes, passed: bytes) -> None:
    keys = Keys()
    assert (keys.typed(typed), keys.detached) == (passed, False)


@given(st.lists(st.binary().map(lambda data: data.replace(b"\x1c", b""))))
def test_without_the_prefix_nothing_is_changed(pieces: list[bytes]) -> None:
    keys = Keys()
    assert b"".join(keys.typed(piece) for piece in pieces) == b"".join(pieces)


@given(st.binary(), st.integers(0, 50))
def test_it_does_not_matter_where_the_pieces_are_cut(data: bytes, at: int) -> None:
    whole, cut = Keys(), Keys()
    expected = whole.typed(data)
    found = cut.typed(data[:at])
    found += b"" if cut.detached else cut.typed(data[at:])
    assert (found, cut.detached) == (expected, whole.detached)
