"""A process that no walk through /proc finds: it forks and exits all the time."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("comet.c")


def build(folder: Path) -> Path:
    """Compile the program into ``folder``; skips the test where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = folder / "comet"
    subprocess.run([compiler, "-O1", "-o", program, SOURCE], check=True)
    return program


def is_locked(path: Path) -> bool:
    """Whether anything that has inherited a lock on ``path`` lives: the kernel knows them all."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
