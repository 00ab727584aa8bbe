"""mgpu_ctl db backup --to: where the copy goes is known to be good before one is made."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mgpu.cli import ctl_db
from mgpu.cli.ctl_db import backup
from tests.lib.fake_server import FakeServer, Message
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]


ME = os.getuid()


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler is whoever runs the tests."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(ctl_db, "_account", lambda _: SimpleNamespace(pw_uid=ME))


@pytest.fixture
def asked(server: FakeServer, tmp_path: Path) -> list[object]:
    """The copies that the scheduler was asked for."""
    made: list[object] = []
    kept = tmp_path / "kept"
    kept.write_bytes(b"copy")
    told = {"path": str(kept), "jobs": 1, "bytes": 4, "version": 9}

    def answer(request: Message) -> list[Message]:
        made.append(request)
        return [{"ok": told}]

    server.answer = answer
    return made


def test_the_copy_is_written_for_its_owner_alone(
    run: Run, asked: list[object], tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / "copy"
    assert run(backup, "--to", str(target)) == 0
    assert capsys.readouterr().out == f"Copied to {target}: 1 job record, 4 bytes, version 9\n"
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"copy", 0o600)
    assert len(asked) == 1


@pytest.mark.parametrize("target", ["kept", "missing/copy", "."])
def test_a_target_that_cannot_be_written_is_refused_before_a_copy_is_made(
    run: Run, asked: list[object], tmp_path: Path, capsys: Capture, target: str
) -> None:
    assert run(backup, "--to", str(tmp_path / target)) != 0
    assert f"{tmp_path / target}: " in capsys.readouterr().err
    assert (tmp_path / "kept").read_bytes() == b"copy"
    assert asked == []


def test_who_is_not_root_is_refused_before_a_copy_is_made(
    run: Run, asked: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    assert run(backup, "--to", str(tmp_path / "copy")) != 0
    assert "only root can write the copy" in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize("kind", ["root's", "pipe"])
def test_a_scheduler_that_names_another_file_has_root_read_nothing(
    run: Run,
    asked: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    kind: str,
) -> None:
    if kind == "pipe":
        (tmp_path / "kept").unlink()
        os.mkfifo(tmp_path / "kept")
    else:
        monkeypatch.setattr(ctl_db, "_account", lambda _: SimpleNamespace(pw_uid=ME + 1))
    assert run(backup, "--to", str(tmp_path / "copy")) != 0
    assert str(tmp_path / "kept") in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


def test_a_copy_that_fails_leaves_no_file(run: Run, server: FakeServer, tmp_path: Path) -> None:
    server.answer = lambda _: [{"error": {"code": "Refused", "message": "the copy failed"}}]
    assert run(backup, "--to", str(tmp_path / "copy")) != 0
    assert not (tmp_path / "copy").exists()
