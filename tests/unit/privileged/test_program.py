"""What keeps an account from running a program of mgpu."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mgpu.privileged.program import needed, unreachable

NOBODY = 65534


def seen_by_nobody(*paths: Path) -> str:
    """What a process without root's rights cannot reach."""
    near, far = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        os.write(far, unreachable(map(str, paths)).encode())
        os._exit(0)
    os.close(far)
    os.waitpid(child, 0)
    with open(near, encoding="utf-8") as pipe:
        return pipe.read()


def test_the_path_that_is_closed_is_named() -> None:
    with TemporaryDirectory() as folder:  # pytest's own are closed to others
        here = Path(folder)
        here.chmod(0o755)
        below = here / "closed" / "bin"
        below.mkdir(parents=True)
        below.parent.chmod(0o000)
        try:
            assert seen_by_nobody(here) == ""
            assert seen_by_nobody(here, below) == str(below)
        finally:
            below.parent.chmod(0o700)


def test_links_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "none.zip")])
    assert needed() == [os.path.realpath(str(tmp_path / "python")), str(tmp_path.resolve())]
