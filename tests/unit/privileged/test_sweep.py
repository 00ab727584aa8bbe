"""What the job's own process makes of a sweep: the same as the scheduler shows."""

from __future__ import annotations

import os
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.model import sweep as model
from mgpu.privileged import payload, sweep
from mgpu.privileged.refusal import Refusal

NAMES = ["lr", "bs", "lr2"]
WORDS = st.lists(st.sampled_from([*NAMES, "{", "}", "x", "$"]), max_size=12).map("".join)
VALUES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["", "0.1", "{bs}", "ü"]))
AXES = [[["lr"], [["0.1"], ["0.01"]]], [["bs", "opt"], [["32", "sgd"], ["64", "adam"]]]]
PLAIN: dict[str, Any] = {
    "name": "train",
    "argv": [b"python", b"--lr={lr}", b"{{bs}}"],
    "env": [],
    "cwd": b"/",
    "umask": 0o22,
    "rlimits": [],
}


@given(WORDS, VALUES)
def test_words_are_expanded_as_they_are_shown(word: str, values: dict[str, str]) -> None:
    encoded = {name.encode(): value.encode() for name, value in values.items()}
    assert sweep.expand(word.encode(), encoded).decode() == model.expand(word, values)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_tasks_have_the_values_that_are_shown(sizes: list[int]) -> None:
    axes = tuple(
        ((f"p{axis}", f"q{axis}"), tuple((f"{row}", f"-{row}") for row in range(size)))
        for axis, size in enumerate(sizes)
    )
    grid = model.Sweep(axes)
    for task in range(grid.count):
        shown = {name.encode(): value.encode() for name, value in grid.values(task).items()}
        assert sweep.values(axes, task) == shown


def read(data: dict[str, Any], task: int | None) -> payload.Payload:
    fd = os.memfd_create("payload")
    try:
        os.write(fd, msgpack.packb(data))
        return payload.read(fd, task)
    finally:
        os.close(fd)


def test_a_payload_is_filled_in_for_its_task() -> None:
    found = read({**PLAIN, "sweep": AXES, "name_template": "t-{lr}-{opt}" + "x" * 200}, 3)
    assert found.argv == [b"python", b"--lr=0.01", b"{bs}"]
    assert found.values == {b"lr": b"0.01", b"bs": b"64", b"opt": b"adam"}
    assert found.name == ("t-0.01-adam" + "x" * 200)[:128]


@pytest.mark.parametrize("task", [None, 3])
def test_without_a_sweep_nothing_is_replaced(task: int | None) -> None:
    found = read({**PLAIN, "sweep": AXES} if task is None else PLAIN, task)
    assert (found.argv, found.values, found.name) == (PLAIN["argv"], {}, "train")


@pytest.mark.parametrize("axes", [5, [5], [[["a"], []]], [[["a"], [["1", "2"]]]], [[[5], [["1"]]]]])
def test_a_damaged_sweep_is_refused(axes: object) -> None:
    with pytest.raises(Refusal, match="sweep"):
        read({**PLAIN, "sweep": axes}, 0)
