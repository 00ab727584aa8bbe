"""Which values a task stands for, and how they get into words."""

from __future__ import annotations

import pytest

from mgpu.model import sweep
from mgpu.model.errors import MgpuError
from mgpu.model.sweep import Sweep, expand

LR = (("lr",), (("0.1",), ("0.01",)))
ROWS = (("bs", "opt"), (("32", "sgd"), ("64", "adam"), ("128", "sgd")))
VALUES = {"lr": "0.1", "lr2": "7", "bs": ""}


def test_the_last_axis_varies_fastest() -> None:
    grid = Sweep((LR, ROWS))
    assert (grid.count, grid.names) == (6, ["lr", "bs", "opt"])
    assert [tuple(grid.values(task).values()) for task in range(6)] == [
        ("0.1", "32", "sgd"),
        ("0.1", "64", "adam"),
        ("0.1", "128", "sgd"),
        ("0.01", "32", "sgd"),
        ("0.01", "64", "adam"),
        ("0.01", "128", "sgd"),
    ]
    assert list(grid.values(0)) == ["lr", "bs", "opt"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("--lr={lr}", "--lr=0.1"),
        ("{lr}{lr2}{bs}", "0.17"),
        ("{LR} {x} {} { lr }", "{LR} {x} {} { lr }"),
        ("{{lr}}", "{lr}"),
        ("${{lr}}", "${lr}"),
        ('{"a": {"b": {lr}}}', '{"a": {"b": 0.1}}'),
        ("{{x}}", "{{x}}"),
        ("{lr", "{lr"),
    ],
)
def test_only_names_of_parameters_are_replaced(text: str, meant: str) -> None:
    assert expand(text, VALUES) == meant


def test_a_value_is_not_looked_at_again() -> None:
    assert expand("{a}", {"a": "{b}", "b": "x"}) == "{b}"
    assert expand("{lr}", {}) == "{lr}"


@pytest.mark.parametrize(
    ("axes", "problem"),
    [
        ((LR, LR), "the parameter lr is given twice"),
        (((("a-b",), (("1",),)),), '"a-b" is no name of a parameter'),
        (((("",), (("1",),)),), '"" is no name of a parameter'),
        (
            tuple(((name,), (("1",),) * 100) for name in "abc"),
            "1000000 combinations; an array has at most 100000 tasks",
        ),
    ],
)
def test_what_no_sweep_is(axes: tuple[sweep.Axis, ...], problem: str) -> None:
    with pytest.raises(MgpuError) as caught:
        sweep.check(Sweep(axes))
    assert caught.value.message == problem
