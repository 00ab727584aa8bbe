"""mgpu_queue --tree: who stands under whom, each job at least once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.cli.queue import queue
from mgpu.cli.tree import DEEPEST, Node, draw
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import Run, job, listing

Capture = pytest.CaptureFixture[str]


def waits(number: int, dependency: str, **known: Any) -> list[object]:
    return job(id=number, reason="Dependency", dependency=dependency, **known)


ROWS = [
    job(id=12, state="RUNNING", elapsed=60.0, gpu_ids=[0], name="prepare"),
    waits(13, "afterok:12", detail="waits for job 12 (running) to end well"),
    waits(14, "afterok:12", detail="waits for job 12 (running) to end well"),
    waits(15, "afterok:13:14,singleton", name="merge"),
    job(id=16, reason="Resources", detail="needs 1 GPU"),
    waits(17, "afterok:9?afterany:16", name="either"),
    job(id=18, reason="DependencyNeverSatisfied", dependency="afterok:9"),
    waits(19, "after:17+10", user="bob", name=None, command=None, cwd=None, mine=False),
]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("tree", ["--tree"]),
        ("tree_no_header", ["--tree", "-h"]),
        ("tree_format", ["--tree", "-o", "%t %j"]),
    ],
)
def test_golden(
    name: str, args: list[str], run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    server.answer = listing(*ROWS)
    assert run(queue, *args) == 0
    golden.check(f"cli/queue_{name}.txt", capsys.readouterr().out)


def test_nothing_is_no_tree(run: Run, server: FakeServer, capsys: Capture) -> None:
    server.answer = listing()
    assert run(queue, "--tree") == 0
    assert capsys.readouterr().out.split()[0] == "JOBID"


def drawn(*nodes: tuple[str, str], plain: bool = True) -> list[str]:
    return [line.text for line in draw([Node(*node) for node in nodes], plain=plain)]


def test_a_job_stands_under_what_it_waits_for() -> None:
    family = (("1", ""), ("2", "afterok:1"), ("3", "afterany:2"), ("4", "afterok:1"), ("5", ""))
    assert drawn(*family) == ["1", "|- 2", "|  `- 3", "`- 4", "5"]
    assert drawn(*family, plain=False) == ["1", "├─ 2", "│  └─ 3", "└─ 4", "5"]


def test_children_are_shown_once_and_names_under_every_parent() -> None:
    family = (("1", ""), ("2", ""), ("3", "afterok:1:2"), ("4", "afterok:3"))
    assert drawn(*family) == ["1", "`- 3", "   `- 4", "2", "`- 3"]


def test_a_job_is_told_about_once() -> None:
    lines = draw([Node("1", ""), Node("2", ""), Node("3", "afterok:1:2")])
    assert [(line.node, line.alone) for line in lines] == [
        (0, False), (2, False), (1, False), (2, True),
    ]  # fmt: skip


def test_what_is_too_deep_begins_anew_at_the_left() -> None:
    row = [("1", ""), *((str(n), f"afterok:{n - 1}") for n in range(2, 2 * DEEPEST + 4))]
    lines = drawn(*row)
    last = DEEPEST + 2
    assert lines[last - 1] == "   " * DEEPEST + f"`- {last}"
    assert lines[last : last + 2] == [str(last), f"`- {last + 1}"]
    assert [line for line in lines if not line.startswith((" ", "`"))] == [
        "1", str(last), str(2 * last - 1),
    ]  # fmt: skip


def test_what_everybody_waits_for_costs_a_line_for_each_condition() -> None:
    each = 100
    nodes = [
        Node(str(n), "afterany:" + ":".join(str(p) for p in range(max(1, n - each), n)))
        for n in range(2, 900)
    ]
    lines = draw([Node("1", ""), *nodes])
    conditions = sum(len(node.dependency.split(":")) - 1 for node in nodes)
    assert conditions <= len(lines) <= conditions + len(nodes) + 1
    assert max(len(line.text) for line in lines) <= 3 * (DEEPEST + 1) + 3


def test_a_parent_that_is_not_listed_is_shown_by_its_id() -> None:
    assert drawn(("7", "afterok:3"), ("8", "afterok:42_7")) == ["3", "`- 7", "42_7", "`- 8"]


def test_what_waits_for_an_array_stands_under_the_last_of_its_parts() -> None:
    array = (("42_1", ""), ("42_[2-9]", ""))
    assert drawn(*array, ("50", "afterok:42"), ("51", "afterok:42_1")) == [
        "42_1", "`- 51", "42_[2-9]", "`- 50",
    ]  # fmt: skip


def test_what_this_release_cannot_read_is_no_parent() -> None:
    assert drawn(("1", ""), ("2", "aftermoon:1")) == ["1", "2"]


links = st.lists(st.lists(st.integers(1, 9), max_size=3, unique=True), max_size=8)


@given(links)
def test_every_job_is_shown_whatever_waits_for_what(parents: list[list[int]]) -> None:
    nodes = [
        (str(number), f"afterok:{':'.join(map(str, its))}" if its else "")
        for number, its in enumerate(parents, start=1)
    ]
    lines = draw([Node(*node) for node in nodes])
    shown = Counter(line.node for line in lines)
    assert set(range(len(nodes))) <= set(shown)
    assert len(lines) <= len(nodes) + sum(map(len, parents)) + 9
