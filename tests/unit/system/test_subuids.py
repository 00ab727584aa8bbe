"""Who is charged for uids of user namespaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgpu.system.subuids import Payers

FILE = """\
alice:100000:65536
bob:165536:65536
# a comment: of three: fields
alice:300000:10
nonsense
carol:x:5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "subuid"
    path.write_text(FILE)
    return path


def test_all_uids_of_a_user_are_charged_to_one(file: Path) -> None:
    payers = Payers(file)
    alices = {payers.of(uid) for uid in (100_000, 165_535, 300_000, 300_009)}
    bobs = {payers.of(uid) for uid in (165_536, 231_071)}
    assert (len(alices), len(bobs)) == (1, 1)
    assert alices != bobs
    assert max(alices | bobs) < 0


@pytest.mark.parametrize("uid", [0, 1001, 99_999, 231_072, 299_999, 300_010, 2**32 - 2])
def test_other_uids_are_charged_themselves(file: Path, uid: int) -> None:
    assert Payers(file).of(uid) == uid


def test_a_file_that_changes_is_read_again(file: Path) -> None:
    payers = Payers(file)
    assert payers.of(400_000) == 400_000
    file.write_text(FILE + "dave:400000:65536\n")
    assert payers.of(400_000) < 0
    file.unlink()
    assert payers.of(400_000) == 400_000
