"""What a process that runs a function of mgpu does when the one that started it is gone."""

from __future__ import annotations

import os
import subprocess

import pytest

from mgpu.system.process import command


@pytest.mark.parametrize(("of", "status"), [(0, 0), (1, 1)], ids=["it is there", "it has gone"])
def test_it_does_not_outlive_its_parent(of: int, status: int) -> None:
    """Who has lost its parent before it could say so has another, which need not be number 1."""
    argv = command("mgpu.system.process", f"end_with({os.getpid() + of})")
    assert subprocess.run(argv, check=False).returncode == status
