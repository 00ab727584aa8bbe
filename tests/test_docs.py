"""Commands in the documentation exist, with the options that are shown."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

from tests.lib.docs import ROOT, Example, examples, files, matches

BIN = Path(sys.executable).parent
PROGRAMS = (
    *("mgpu", "mgpu_srun", "mgpu_sbatch", "mgpu_queue", "mgpu_cancel", "mgpu_info"),
    *("mgpu_job", "mgpu_stats", "mgpu_top", "mgpu_ctl"),
    "mgpud",
)
#: How many words of a command line name the command, at most.
WORDS = {"mgpu": 1, "mgpud": 1, "mgpu_ctl": 2, "mgpu_job": 2}
SHOWN = [example for file in files() for example in examples(file)]
OURS = [example for example in SHOWN if example.command.split()[0] in PROGRAMS]


@cache
def help_of(*words: str) -> str:
    done = subprocess.run([BIN / words[0], *words[1:], "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", OURS, ids=str)
def test_options_shown_exist(example: Example) -> None:
    words = shlex.split(example.command, comments=True)
    own = words[: words.index("--")] if "--" in words else words
    group = own[0] if own[0] != "mgpu" else f"mgpu_{own[1]}"  # mgpu job log is mgpu_job log
    named = own[1 : 1 + max(WORDS.get(own[0], 0), WORDS.get(group, 0) + (group != own[0]))]
    subcommand = list(takewhile(lambda word: not word.startswith("-"), named))
    known = help_of(own[0], *subcommand)
    for option in (word.partition("=")[0] for word in own if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", known), option


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name != "mgpu"])
def test_every_command_has_help(program: str) -> None:
    assert "Usage:" in help_of(program)


def test_checks_that_are_named_exist() -> None:
    """``tests/FILE.py::NAME`` in the documentation is a test or a test class of that file."""
    for file in files():
        for where, what in re.findall(r"(tests/[\w/]+\.py)::(\w+)", file.read_text()):
            source = (ROOT / where).read_text()
            assert re.search(rf"^\s*(def|class) {what}\b|^{what} = ", source, re.MULTILINE), (
                f"{file.name} names {where}::{what}"
            )


def test_decisions_are_listed() -> None:
    folder = next(file.parent for file in files() if file.name == "0000-template.md")
    index = (folder / "README.md").read_text()
    for file in folder.glob("0[0-9][0-9][1-9]-*.md"):
        assert f"({file.name})" in index
        title = file.read_text().splitlines()[0]
        assert re.fullmatch(rf"# {file.name[:4]}: \S.*", title), title


@pytest.mark.parametrize(
    ("shown", "seen", "same"),
    [
        (["a  b"], "a b\n", True),
        (["a b"], "a c\n", False),
        (["R 0:03 x"], "R   12:41 x\n", True),
        (["a", "...", "z"], "a\nb\nc\nz\n", True),
        (["a", "..."], "a\n", True),
        (["a"], "a\nb\n", False),
        ([], "", True),
    ],
)
def test_shown_output_is_compared(shown: list[str], seen: str, same: bool) -> None:
    assert matches(tuple(shown), seen) is same
