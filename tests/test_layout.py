"""Rules about the source that no linter knows: who may call what, lengths, words."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mgpu"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
IDENTITY = {
    *("setuid", "seteuid", "setreuid", "setresuid", "setgid", "setegid", "setregid"),
    *("setresgid", "setgroups", "initgroups", "capset"),
}
CLOCKS = {
    *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
    *("clock_gettime", "clock_gettime_ns", "utcnow", "today"),
}
CLOCK_FILES = {"mgpu/system/clock.py", "mgpu/privileged/clock.py"}


def sources(folder: Path = PACKAGE) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / line for line in listing.split("\0") if line and (ROOT / line).is_file()]


def used_names(path: Path) -> Iterator[tuple[str, int]]:
    """Every attribute and imported name in a file, with its line."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.name, node.lineno


def clock_reads(path: Path) -> Iterator[int]:
    """Lines that read a clock: ``time.x()``, ``from time import x``, ``datetime.now()``."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "time" and node.attr in CLOCKS:
                yield node.lineno
            if node.value.id in {"datetime", "date"} and node.attr in {"now", "utcnow", "today"}:
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (node.lineno for alias in node.names if alias.name in CLOCKS)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The length of a function without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return lines
    return lines - ((function.body[0].end_lineno or 0) - function.body[0].lineno + 1)


def test_files_are_short() -> None:
    lengths = {
        name(path): len(path.read_text().splitlines())
        for path in [*sources(), *sources(ROOT / "tests")]
    }
    long = {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES}
    assert not long, f"more than {MAX_FILE_LINES} lines: two things live in one room: {long}"


def test_functions_are_short() -> None:
    long = {
        f"{name(path)}:{node.lineno} {node.name}": length
        for path in sources()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := code_lines(node)) > MAX_FUNCTION_LINES
    }
    assert not long


def test_only_one_file_changes_identity() -> None:
    found = {
        f"{name(path)}:{line} {used}"
        for path in sources()
        if name(path) != "mgpu/privileged/identity.py"
        for used, line in used_names(path)
        if used in IDENTITY
    }
    assert not found


def test_only_the_clock_files_read_clocks() -> None:
    found = {
        f"{name(path)}:{line}"
        for path in sources()
        if name(path) not in CLOCK_FILES
        for line in clock_reads(path)
    }
    assert not found


def test_the_phase_of_a_job_is_set_in_one_file() -> None:
    found = {
        f"{name(path)}:{node.lineno}"
        for path in sources()
        if name(path) != "mgpu/core/lifecycle.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and node.attr == "phase"
        and isinstance(node.ctx, ast.Store | ast.Del)
    }
    assert not found


def test_tests_do_not_sleep() -> None:
    sleeping = re.compile(r"\bsleep\(|\bimport sleep\b")
    found = {
        f"{name(path)}:{number}"
        for path in sources(ROOT / "tests")
        if name(path) not in {"tests/lib/waiting.py", "tests/test_layout.py"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if sleeping.search(line) and "# job" not in line
    }
    assert not found, "wait with tests.lib.waiting.eventually (a job's own sleep: say `# job`)"


def test_the_repository_speaks_of_mgpu_alone() -> None:
    words = ["/wor" + "k/", "/roo" + "t/", "/var/tmp/" + "dev", "/var/tmp/" + "plan"]
    found = {
        f"{name(path)}: {word}"
        for path in tracked()
        for word in words
        if word.encode() in path.read_bytes()
    }
    assert not found


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


COMMANDS = ["srun", "queue", "cancel", "info"]
SLOW_MODULES = ["asyncio", "sqlite3", "tomlkit", "rich", "pynvml", "psutil", "croniter"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_imports_only_what_it_needs(command: str) -> None:
    probe = (
        f"import sys, mgpu.cli.{command}; print(*[m for m in {SLOW_MODULES!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_what_ships_for_tests_is_not_used_by_the_product() -> None:
    found = {
        f"{name(path)}:{node.lineno}"
        for path in sources()
        if not name(path).startswith("mgpu/testing/")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mgpu.testing")
    }
    assert not found
