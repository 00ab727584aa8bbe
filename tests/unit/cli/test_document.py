"""The pages of all commands are those that the commands themselves say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from mgpu.cli import document
from mgpu.cli.main import group, programs

ROOT = Path(__file__).resolve().parents[3]
FILES = document.files()
MAN = sorted(path for path in FILES if path.startswith("packaging/man/"))
#: Written by hand.
OTHERS = {"docs/reference/errors.md"}


@pytest.mark.parametrize("path", FILES)
def test_pages_are_current(path: str) -> None:
    file = ROOT / path
    kept = file.read_text() if file.exists() else ""
    assert kept == FILES[path], "run: python -m mgpu.cli.document"


def test_there_is_no_page_of_a_command_that_is_gone() -> None:
    kept = {
        str(file.relative_to(ROOT))
        for folder in ("docs/reference", "packaging/man")
        for file in (ROOT / folder).iterdir()
    }
    assert kept == FILES.keys() | OTHERS


@pytest.mark.parametrize("name", programs())
def test_every_option_is_described(name: str) -> None:
    context = click.Context(group)
    command = group.get_command(context, name.removeprefix("mgpu_")) or group
    for option in (one for one in command.params if isinstance(one, click.Option)):
        if not option.hidden:
            longest = max(option.opts, key=len)
            assert longest in FILES[f"docs/reference/{name}.md"]
            assert longest.replace("-", "\\-") in FILES[f"packaging/man/{name}.1"]


@pytest.mark.parametrize("path", MAN)
@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("groff", ["-ww", "-b", "-man", "-Tutf8", "-Kutf8", "-z"]),
        ("mandoc", ["-Tlint", "-Wwarning"]),
    ],
)
def test_manual_pages_are_good_roff(path: str, program: str, options: list[str]) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, *options, str(ROOT / path)], capture_output=True, text=True)
    said = (done.stdout + done.stderr).splitlines()
    # A page that is written anew has no date: it would differ each time.
    assert [line for line in said if "missing date" not in line] == []


def test_a_manual_page_reads_well(tmp_path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    (tmp_path / "page.1").write_text(FILES["packaging/man/mgpu_srun.1"])
    shown = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-c", str(tmp_path / "page.1")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    plain = re.sub(".\b", "", shown)
    for words in ("NAME", "mgpu_srun - ", "--gpus", "EXIT STATUS", "MGPU_RUNTIME_DIR", "SEE ALSO"):
        assert words in plain
