"""What root runs is root's alone: the programs that start mgpud, and what scripts/install takes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def executable(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["mgpud", "mgpu_scheduler_server"])
def test_no_folder_of_the_callers_path_decides_what_mgpud_runs(name: str, tmp_path: Path) -> None:
    prefix, users, marker = tmp_path / "bin", tmp_path / "users", tmp_path / "marker"
    prefix.mkdir()
    users.mkdir()
    for program in ("mgpud", "mgpu_scheduler_server"):
        shutil.copy(ROOT / "packaging/bin" / program, prefix)
    executable(prefix / "python3", 'echo "$PATH"')
    for tool in ("dirname", "readlink"):
        executable(users / tool, f'touch {marker}; /usr/bin/{tool} "$@"')
    path = f"{users}:/usr/bin:/bin"
    done = subprocess.run([prefix / name], env={"PATH": path}, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, path, "")
    assert not marker.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="judges what is root's")
def test_a_source_reached_by_a_link_is_judged_as_what_it_is(tmp_path: Path) -> None:
    source, link = tmp_path / "source", tmp_path / "link"
    source.mkdir()
    link.symlink_to(source)
    scripts = ROOT / "scripts/lib"
    line = f". {scripts}/common.sh; . {scripts}/trust.sh; need_trusted {link}"

    def judged() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", line], capture_output=True, text=True)

    assert judged().returncode == 0
    module = source / "module.py"
    module.write_text("")
    module.chmod(0o666)
    assert judged().returncode == 1
    assert str(module) in judged().stderr
    module.chmod(0o644)
    os.chown(source, 12345, -1)
    assert judged().returncode == 1
