"""Sizes, durations and text as people write and read them."""

from __future__ import annotations

import pytest

from mgpu.model import units


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("8000", 8000),
        ("1", 1),
        ("8G", 8192),
        ("8g", 8192),
        ("20GiB", 20480),
        ("20GB", 20480),
        ("1.5T", 1572864),
        ("512K", 1),
        ("1025K", 2),
        ("1.5", 2),
        (" 8000M ", 8000),
    ],
)
def test_memory(text: str, mib: int) -> None:
    assert units.parse_memory(text) == mib


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "8X", "8 G", "GiB", "1e3", "nan", "inf", "9" * 15, "9" * 40, "٣", "8\n0"],
)
def test_memory_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a size|out of range"):
        units.parse_memory(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("600", 600),
        ("0", 0),
        ("unlimited", 0),
        ("10m", 600),
        ("2h30m", 9000),
        ("1d", 86400),
        ("1d2h3m4s", 93784),
        ("90S", 90),
        ("10:00", 600),
        ("2:30:00", 9000),
        ("1-12:00:00", 129600),
        ("1-12", 129600),
        ("1-12:30", 131400),
    ],
)
def test_duration(text: str, seconds: int) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 600), ("0", 0), ("INFINITE", 0), ("10:30", 630), ("1:00:00", 3600), ("2-0", 172800)],
)
def test_slurm_time(text: str, seconds: int) -> None:
    assert units.parse_slurm_time(text) == seconds


@pytest.mark.parametrize("parse", [units.parse_duration, units.parse_slurm_time])
@pytest.mark.parametrize(
    "text", ["", "-5", "ten", "1:2:3:4", "1-", "-1:00", "9" * 14, "9" * 30, "99999999-1", "1:٣"]
)
def test_duration_refused(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match=r"not a duration|out of range"):
        parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (-5, "0:00"),
        (59.9, "0:59"),
        (754, "12:34"),
        (3723, "1:02:03"),
        (86399, "23:59:59"),
        (86400, "1-00:00:00"),
        (183845, "2-03:04:05"),
    ],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@pytest.mark.parametrize("mib", [1, 1000, 1024, 8000, 8192, 16384])
def test_memory_round_trip(mib: int) -> None:
    assert units.parse_memory(units.format_memory(mib)) == mib


def test_visible() -> None:
    assert units.visible("größe 東京") == "größe 東京"
    assert units.visible("a\x1b[31mb\r\n") == "a\\x1b[31mb\\r\\n"
    assert units.visible("a\u202eb\u2066c\u200bd\x9b\x7f") == "a\\u202eb\\u2066c\\u200bd\\x9b\\x7f"
    assert units.visible("\udc80") == "\\udc80"


def test_quoted_is_short_and_visible() -> None:
    assert units.quoted("a\nb") == '"a\\nb"'
    assert units.quoted("x" * 100, 10) == f'"{"x" * 10}..."'


@pytest.mark.parametrize(
    ("text", "found"),
    [("0", [0]), ("0,2", [0, 2]), ("0-1,3", [0, 1, 3]), (" 3, 1-2 ,2", [1, 2, 3]), ("7-7", [7])],
)
def test_indices(text: str, found: list[int]) -> None:
    assert units.parse_indices(text) == found


@pytest.mark.parametrize("text", ["", "a", "1-", "2-1", "0,,1", "-1", "12345", "1.0", "\u0663"])
def test_indices_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no GPUs"):
        units.parse_indices(text)


@pytest.mark.parametrize(("text", "found"), [("8.0", (8, 0)), ("9", (9, 0)), (" 12.1 ", (12, 1))])
def test_capability(text: str, found: tuple[int, int]) -> None:
    assert units.parse_capability(text) == found


@pytest.mark.parametrize("text", ["", "8.", ".5", "8.10", "sm_80", "100.0"])
def test_capability_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a compute capability"):
        units.parse_capability(text)
