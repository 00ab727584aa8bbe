"""Commands in the documentation are such that their programs understand them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import click
import pytest

from mgpu.cli import mgpud
from mgpu.cli.main import COMMANDS, group, programs
from tests.lib.docs import ROOT, files, matches, named, typed

BIN = Path(sys.executable).parent
PROGRAMS = (*programs(), "mgpud")
SHELL = ("|", "||", "&&", ";", ">")
#: What a program says of a file that only the reader has.
NO_FILE = re.compile("no such file|does not exist", re.IGNORECASE)
UNKNOWN = re.compile("no such option|there is no command", re.IGNORECASE)


def command_of(program: str) -> click.Command:
    if program == "mgpud":
        return mgpud.main
    if program == "mgpu":
        return group
    _, module, name = COMMANDS[program.removeprefix("mgpu_")]
    command: click.Command = getattr(import_module(module), name)
    return command


@pytest.fixture(autouse=True)
def nothing_is_typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`mgpu_srun -` reads a script."""
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


def complaint(line: str) -> str:
    """What the program would say against these words when it is started with them."""
    try:
        read_by_its_program(line)
    except click.exceptions.Exit:  # --help
        return ""
    except click.ClickException as error:
        return error.format_message()
    return ""


def read_by_its_program(line: str) -> None:
    program, *words = takewhile(lambda word: word not in SHELL, shlex.split(line, comments=True))
    command: click.Command | None = command_of(program)
    context = None
    while command is not None:
        context = command.make_context(program, words, parent=context)
        words = [*context._protected_args, *context.args]
        if not isinstance(command, click.Group) or not words:
            return
        name, command, words = command.resolve_command(context, words)
        program = str(name)


@pytest.mark.parametrize("line", sorted({line for file in files() for line in typed(file)}))
def test_commands_shown_are_understood(line: str) -> None:
    said = complaint(line)
    assert not said or NO_FILE.search(said), said


@pytest.mark.parametrize("line", sorted({line for file in files() for line in named(file)}))
def test_commands_named_exist_with_their_options(line: str) -> None:
    """In a sentence they are named without what they would need."""
    assert not UNKNOWN.search(complaint(line))


@pytest.mark.parametrize("line", ["mgpu_queue --none", "mgpu_ctl none", "mgpu job none"])
def test_what_does_not_exist_is_found_out(line: str) -> None:
    assert UNKNOWN.search(complaint(line))


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name != "mgpu"])
def test_every_command_has_help(program: str) -> None:
    done = subprocess.run([BIN / program, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


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
