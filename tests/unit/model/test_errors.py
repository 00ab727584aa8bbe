"""Every error code has an exit status, a use and a line in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mgpu.model.errors import EXIT_STATUS, MgpuError

ROOT = Path(__file__).resolve().parents[3]
SOURCE = "".join(file.read_text() for file in (ROOT / "mgpu").rglob("*.py"))
REFERENCE = (ROOT / "docs/reference/errors.md").read_text()


@pytest.mark.parametrize("code", EXIT_STATUS)
def test_a_code_is_documented_with_its_exit_status(code: str) -> None:
    assert f"| `{code}` | {EXIT_STATUS[code]} |" in REFERENCE


@pytest.mark.parametrize("code", EXIT_STATUS)
def test_a_code_is_used(code: str) -> None:
    uses = re.findall(rf'"{code}"', SOURCE)
    assert len(uses) > 1, "only its own row names it"


def test_the_documentation_names_no_other_code() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", REFERENCE, re.MULTILINE)) == set(EXIT_STATUS)


def test_an_error_says_where_the_fault_is() -> None:
    error = MgpuError("BadRequest", "expected an integer", path="spec.gpus", hint="write 1")
    assert str(error) == "spec.gpus: expected an integer"
    assert (error.exit_status, error.hint) == (2, "write 1")
