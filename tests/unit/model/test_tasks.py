"""How arrays are written, and what is refused."""

from __future__ import annotations

import pytest

from mgpu.model.errors import MgpuError
from mgpu.model.tasks import Tasks, parse_tasks


@pytest.mark.parametrize(
    ("text", "ranges", "bound"),
    [
        ("0,6,16-32:4%2", ((0, 0, 1), (6, 6, 1), (16, 32, 4)), 2),
        ("0-99999", ((0, 99999, 1),), 0),
        ("5", ((5, 5, 1),), 0),
        ("1-6:3", ((1, 4, 3),), 0),
        ("3-3:5", ((3, 3, 1),), 0),
        ("9,3", ((3, 3, 1), (9, 9, 1)), 0),
        ("0-4,2-6", ((0, 6, 1),), 0),
        ("2147483647", ((2147483647, 2147483647, 1),), 0),
    ],
)
def test_what_an_array_means(text: str, ranges: tuple[tuple[int, int, int]], bound: int) -> None:
    assert parse_tasks(text) == (Tasks(ranges), bound)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", '"": "" is none of 3, 3-7 and 3-7:2'),
        ("1,,2", '"1,,2": "" is none of 3, 3-7 and 3-7:2'),
        ("-1", '"-1": "-1" is none of 3, 3-7 and 3-7:2'),
        ("1:2", '"1:2": "1:2" is none of 3, 3-7 and 3-7:2'),
        ("\u0661", '"\u0661": "\u0661" is none of 3, 3-7 and 3-7:2'),
        ("1-9:0", '"1-9:0": the step of "1-9:0" is 0'),
        ("9-1", '"9-1": "9-1" is not a range within 0 to 2147483647'),
        ("2147483648", '"2147483648": "2147483648" is not a range within 0 to 2147483647'),
        ("0-100000", '"0-100000": more than 100000 tasks'),
        ("0-99999,7", '"0-99999,7": more than 100000 tasks'),
        ("1%0", '"1%0": "0" behind % is not a number of 1 to 100000'),
        ("1%", '"1%": "" behind % is not a number of 1 to 100000'),
    ],
)
def test_what_no_array_is(text: str, problem: str) -> None:
    with pytest.raises(MgpuError) as caught:
        parse_tasks(text)
    assert (caught.value.code, caught.value.path) == ("BadRequest", "spec.array")
    assert caught.value.message == problem


def test_many_tasks_are_a_few_numbers() -> None:
    every = Tasks(((0, 99999, 1),))
    assert every.without(Tasks.only(7)).ranges == ((0, 6, 1), (8, 99999, 1))
    assert every.without(Tasks(((10, 90000, 10),)).meet(every)) .ranges[:2] == (
        (0, 9, 1), (11, 19, 1),
    )  # fmt: skip
    assert every.without(Tasks(((1, 99999, 2),))).ranges == ((0, 0, 1), (2, 99998, 2))
    assert every.meet(Tasks(((6, 10**9, 6),))).meet(Tasks(((4, 10**9, 4),))).ranges == (
        (12, 99996, 12),
    )


def test_a_place_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        Tasks.only(7)[1]


def test_tasks_that_are_named_one_by_one_are_few_ranges_again() -> None:
    singles = [Tasks.only(index) for index in (7, 3, 5, 40, 4, 6)]
    assert Tasks(()).join(*singles).ranges == ((3, 7, 1), (40, 40, 1))
    assert Tasks(((10, 20, 2),)).join(*singles).ranges == ((3, 7, 1), (10, 20, 2), (40, 40, 1))
