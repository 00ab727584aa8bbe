"""What root executes and reads is root's alone, on the whole way to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mgpu.privileged.trust import Untrusted, check

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files have to be root's")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "python"
    path.parent.mkdir(mode=0o755)
    path.touch(mode=0o755)
    return path


def test_links_of_root_may_be_on_the_way(file: Path, tmp_path: Path) -> None:
    (tmp_path / "up").symlink_to("bin/../bin")
    (tmp_path / "python").symlink_to(tmp_path / "up" / "python")
    check(str(tmp_path / "python"))


def test_a_folder_that_a_link_leads_through_is_judged(file: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    (loose / "python").symlink_to(file)
    (tmp_path / "python").symlink_to(loose / "python")
    with pytest.raises(Untrusted, match=str(loose)):
        check(str(tmp_path / "python"))


def test_a_step_back_behind_a_link_is_a_step_of_the_kernels(file: Path, tmp_path: Path) -> None:
    """As it is written, ``up/../python`` is beside the link; it is above where that leads."""
    (tmp_path / "loose" / "deep").mkdir(parents=True)
    (tmp_path / "loose").chmod(0o777)
    (tmp_path / "loose" / "python").symlink_to(file)
    (tmp_path / "up").symlink_to("loose/deep")
    with pytest.raises(Untrusted, match=str(tmp_path / "loose")):
        check(f"{tmp_path}/up/../python")


def test_a_link_of_somebody_else_is_refused(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(file)
    os.lchown(link, 12345, -1)
    with pytest.raises(Untrusted, match="belongs to uid 12345"):
        check(str(link))


def test_links_that_lead_round_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(Untrusted, match="too many links"):
        check(str(tmp_path / "a"))
