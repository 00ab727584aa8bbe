"""Names of logs: expansion of patterns, and what cannot appear in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.privileged import output

VALUES: dict[bytes, int | bytes] = {
    b"j": 42,
    b"A": 40,
    b"a": 3,
    b"r": 0,
    b"x": b"train.v2",
    b"u": b"alice",
}


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (b"%j.log", b"42.log"),
        (b"%A_%a", b"40_3"),
        (b"%4j|%1j|%0j", b"0042|42|42"),
        (b"%x-%u", b"train.v2-alice"),
        (b"%5x", b"train.v2"),
        (b"100%%", b"100%"),
        (b"%%j", b"%j"),
        (b"%q%", b"%q%"),
        (b"%4%", b"%4%"),
        (b"%99999j", b"0" * 18 + b"42"),
        (b"", b""),
    ],
)
def test_patterns(pattern: bytes, wanted: bytes) -> None:
    assert output.expand(pattern, VALUES) == wanted


@given(st.binary(), st.sampled_from([b"%x", b"a/%x/b", b"%u.%x", b".%x", b"%x.", b"logs/%x"]))
def test_no_value_can_leave_its_folder(value: bytes, pattern: bytes) -> None:
    made = output.expand(pattern, {b"x": value, b"u": b"u"})
    assert made.count(b"/") == pattern.count(b"/")
    assert not any(byte < 0x20 or byte == 0x7F for byte in made)
    assert b".." not in made.split(b"/")


@given(st.binary(max_size=30))
def test_expansion_is_total(pattern: bytes) -> None:
    assert isinstance(output.expand(pattern, VALUES), bytes)


@given(st.text().filter(lambda text: "%" not in text))
def test_plain_text_stays(text: str) -> None:
    assert output.expand(text.encode(), VALUES) == text.encode()


def test_the_default_log() -> None:
    assert output.default_path(b"/home/a", 7, None) == b"/home/a/.local/state/mgpu/logs/7.log"
    assert output.default_path(b"/home/a", 7, (5, 2)).endswith(b"/5_2.log")
