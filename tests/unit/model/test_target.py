"""How jobs, arrays and their tasks are named."""

from __future__ import annotations

import pytest

from mgpu.model.errors import MgpuError
from mgpu.model.target import Name, Target, name_of, parse_target, parse_targets
from mgpu.model.tasks import Tasks

SEVEN = Target(42, Tasks.only(7))
SOME = Target(42, Tasks(((1, 5, 1), (9, 9, 1))))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("42", 42),
        ("42_7", SEVEN),
        ("42_[7]", SEVEN),
        ("42_[1-5,9]", SOME),
        ("42_[1-5,9%2]", SOME),
    ],
)
def test_one_name(text: str, meant: Name) -> None:
    assert parse_target(text) == meant


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "42_", "42_x", "42_1-5", "0_1", "42_[]", "٤"])
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(MgpuError):
        parse_target(text)


def test_lists_and_ranges_name_each_once_in_order() -> None:
    words = ["9,3-5", "42_[1-5,9],4", "42_7"]
    assert parse_targets(words, 10) == [9, 3, 4, 5, SOME, SEVEN]


@pytest.mark.parametrize("word", ["1-11", "1-9,10,11", "1-999999999"])
def test_names_are_bounded(word: str) -> None:
    with pytest.raises(MgpuError, match="more than 10 jobs are named"):
        parse_targets([word], 10)


def test_how_tasks_are_written() -> None:
    assert str(SEVEN) == "42_7"
    assert str(SOME) == "42_[1-5,9]"
    assert name_of(42, Tasks(((8, 100, 1),)), 4) == "42_[8-100%4]"
