"""The Debian package as such: what lintian says, and what is in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest


def test_lintian_has_no_error_and_no_warning(deb: Path) -> None:
    lintian = shutil.which("lintian")
    if lintian is None:
        pytest.skip("no lintian")
    tags = "initial-upload-closes-no-bugs"  # there is no bug tracker of Debian's for it
    command = [lintian, "--fail-on", "error,warning", "--suppress-tags", tags, str(deb)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_links_in_the_documentation_lead_to_what_is_installed(deb: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path], check=True)
    folder = tmp_path / "usr/share/doc/mgpu"
    pages = list(folder.rglob("*.md"))
    assert folder / "README.md" in pages
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.relative_to(folder)}: {link}"
    config = (tmp_path / "etc/mgpu/config.toml").read_text()
    for named in re.findall(r"/usr/share/\S+", config):
        assert (tmp_path / named[1:]).exists(), named


def test_what_is_in_it(deb: Path) -> None:
    listed = subprocess.run(["dpkg-deb", "-c", deb], check=True, capture_output=True, text=True)
    rows = [line.split(maxsplit=5) for line in listed.stdout.splitlines()]
    assert {row[1] for row in rows} == {"root/root"}
    assert not [row for row in rows if row[0][0] == "-" and row[0][5] + row[0][8] != "--"]
    names = {row[5].partition(" -> ")[0] for row in rows}
    commands = {"mgpu", "mgpud", "mgpu_scheduler_server", "mgpu_srun", "mgpu_queue", "mgpu_cancel"}
    assert {f"./usr/bin/{name}" for name in commands} <= names
    assert "./usr/share/man/man1/mgpu_srun.1.gz" in names
    assert "./usr/share/bash-completion/completions/mgpu_srun" in names
    control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True)
    assert "Depends: python3 (>= 3." in control.stdout
    files = subprocess.run(
        ["dpkg-deb", "--ctrl-tarfile", deb], check=True, capture_output=True
    ).stdout
    kept = subprocess.run(["tar", "-xO", "./conffiles"], input=files, capture_output=True)
    assert kept.stdout == b"/etc/mgpu/config.toml\n"
