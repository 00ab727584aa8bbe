"""The linters are tests: what `make lint types layers` runs, run with everything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", "."], id="ruff"),
        pytest.param(["ruff", "format", "--check", "."], id="format"),
        pytest.param(["mypy"], id="mypy"),
        pytest.param(["lint-imports"], id="layers"),
    ],
)
def test_linter_is_content(command: list[str]) -> None:
    program = str(BIN / command[0])
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "script",
    ["scripts/test", "scripts/demo", "scripts/lib/common.sh", ".ci/run", "tests/lib/nsbox"],
)
def test_shell_scripts_parse(script: str) -> None:
    done = subprocess.run(["bash", "-n", str(ROOT / script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", ["scripts/test", "scripts/demo"])
def test_scripts_say_what_they_do(script: str) -> None:
    done = subprocess.run(
        [str(ROOT / script), "--help"], capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 0
    assert done.stdout.startswith(script)
