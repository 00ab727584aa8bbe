"""Typed access to a map: each error names the path, the value and what was expected."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mgpu.model.errors import MgpuError
from mgpu.model.target import Target
from mgpu.model.tasks import Tasks
from mgpu.protocol.fields import Fields, as_text


def spec(**members: object) -> Fields:
    return Fields(members, "spec")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (
            lambda: spec(gpus="two").integer("gpus", 0, 9),
            'spec.gpus: expected an integer, got "two"',
        ),
        (
            lambda: spec(gpus=True).integer("gpus", 0, 9),
            "spec.gpus: expected an integer, got true",
        ),
        (lambda: spec(gpus=1.0).integer("gpus", 0, 9), "spec.gpus: expected an integer, got 1.0"),
        (
            lambda: spec(gpus=-1).integer("gpus", 0, 9),
            "spec.gpus: -1 is out of range; allowed are 0 to 9",
        ),
        (lambda: spec().integer("gpus", 0, 9), "spec.gpus: is missing"),
        (lambda: spec(gpus=None).integer("gpus", 0, 9), "spec.gpus: is missing"),
        (
            lambda: spec(gpus=[1]).maybe_integer("gpus", 0, 9),
            "spec.gpus: expected an integer, got a list",
        ),
        (
            lambda: spec(x=1).boolean("x", default=False),
            "spec.x: expected true or false, got 1",
        ),
        (lambda: spec(x=b"a").text("x", 9), "spec.x: expected text, got bytes"),
        (lambda: spec(x="a\0").text("x", 9), "spec.x: contains a NUL character"),
        (
            lambda: spec(x="abc").maybe_text("x", 2),
            "spec.x: 3 characters; at most 2 are allowed",
        ),
        (lambda: spec(x="").maybe_text("x", 2), "spec.x: is empty"),
        (lambda: spec(x="abc").blob("x", 2), 'spec.x: expected bytes, got "abc"'),
        (lambda: spec(x=b"abc").blob("x", 2), "spec.x: 3 bytes; at most 2 are allowed"),
        (lambda: spec(x="c").choice("x", ("a", "b"), "a"), 'spec.x: "c" is none of a, b'),
        (
            lambda: spec(x={}).items("x", 2, lambda item, path: item),
            "spec.x: expected a list, got a map",
        ),
        (
            lambda: spec(x=[1, 2, 3]).items("x", 2, lambda item, path: item),
            "spec.x: 3 items; at most 2 are allowed",
        ),
        (
            lambda: spec(x=["a", 3]).items("x", 2, lambda item, path: as_text(item, path, 9)),
            "spec.x[1]: expected text, got 3",
        ),
        (lambda: spec(x=3).map("x"), "spec.x: expected a map, got 3"),
        (
            lambda: spec(x={"y": "a"}).map("x").integer("y", 0, 1),
            'spec.x.y: expected an integer, got "a"',
        ),
        (lambda: Fields([], "spec"), "spec: expected a map, got a list"),
    ],
)
def test_errors(read: Callable[[], object], message: str) -> None:
    with pytest.raises(MgpuError) as caught:
        read()
    assert str(caught.value) == message


def test_defaults() -> None:
    fields = spec(none=None)
    assert fields.integer("a", 0, 9, default=3) == 3
    assert fields.integer("none", 0, 9, default=0) == 0
    assert fields.maybe_integer("a", 0, 9) is None
    assert fields.boolean("a", default=True) is True
    assert fields.text("a", 9, default="") == ""
    assert fields.maybe_text("a", 9) is None
    assert fields.maybe_blob("a", 9) is None
    assert fields.items("a", 9, lambda item, path: item) == ()
    fields.map("a").finish()


def test_an_unknown_field_is_refused_with_the_nearest() -> None:
    fields = spec(gpus=1, umsk=2)
    fields.integer("gpus", 0, 9)
    fields.maybe_integer("umask", 0, 9)
    with pytest.raises(MgpuError) as caught:
        fields.finish()
    assert str(caught.value) == 'spec: unknown field "umsk"'
    assert caught.value.hint == "did you mean umask?"


def test_values_in_errors_are_short_and_harmless() -> None:
    with pytest.raises(MgpuError) as caught:
        spec(gpus="\x1b[31m\u202e" + "x" * 10_000).integer("gpus", 0, 9)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


def test_a_long_unknown_name_costs_no_time() -> None:
    fields = Fields({"x" * 500_000: 1})
    with pytest.raises(MgpuError) as caught:
        fields.finish()
    assert caught.value.hint == ""
    assert len(str(caught.value)) < 120


def test_a_job_that_is_named_twice_is_one_name() -> None:
    fields = Fields({"jobs": [3, "42_7", 3, "42_[7]"]})
    assert fields.names("jobs", 10) == (3, Target(42, Tasks.only(7)))


def test_the_tasks_that_a_request_names_are_bounded_in_all() -> None:
    names = [f"42_[{n}-99999:2]" for n in range(5000)]
    with pytest.raises(MgpuError, match="more than 100000 tasks are named") as caught:
        Fields({"jobs": names}).names("jobs", 5000)
    assert (caught.value.code, caught.value.path) == ("TooLarge", "jobs[2]")
