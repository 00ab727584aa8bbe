"""The table of docs/security.md: every check is there, once, with a test or with its reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.lib.docs import ROOT

PAGE = ROOT / "docs/security.md"
_ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows() -> dict[int, str]:
    """check -> what the page says it is held by."""
    found = _ROW.findall(PAGE.read_text())
    assert [int(number) for number, _, _ in found] == list(range(1, 70))
    return {int(number): held for number, _, held in found}


def named(held: str) -> list[tuple[str, str]]:
    """The (file, test) pairs in one cell."""
    pairs: list[tuple[str, str]] = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", held)
    return pairs


def functions_of(path: Path) -> dict[str, str]:
    """The test functions of a file, with their docstrings."""
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_check_names_a_test_that_exists() -> None:
    for number, held in rows().items():
        assert named(held), f"check {number} names no test"
        for file, name in named(held):
            assert name in functions_of(ROOT / file), f"check {number}: {file}::{name}"


def test_tests_and_page_agree_about_the_numbers() -> None:
    """A docstring that begins with ``Check 36:`` is in row 36."""
    table = {number: named(held) for number, held in rows().items()}
    for path in sorted((ROOT / "tests/e2e").glob("test_security_*.py")):
        file = path.relative_to(ROOT).as_posix()
        for name, text in functions_of(path).items():
            claims = re.match(r"Checks? (\d+)(?: (to|and) (\d+))?:", text)
            assert claims, f"{file}::{name} does not say which check it holds"
            first, last = int(claims[1]), int(claims[3] or claims[1])
            for number in range(first, last + 1):
                in_row = (file, name) in table[number]
                assert in_row or claims[2] == "to", f"check {number}: {file}::{name}"
