"""What a job takes over from the submitting process."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from mgpu.client import capture
from mgpu.model.errors import MgpuError


@pytest.fixture
def small_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("ODD", "a\udcff=b")
    monkeypatch.setenv("BASH_FUNC_f%%", "() { :; }")


@pytest.mark.usefixtures("small_environment")
@pytest.mark.parametrize(
    ("export", "entries"),
    [
        ("ALL", [b"PATH=/bin", b"ODD=a\xff=b"]),
        ("all", [b"PATH=/bin", b"ODD=a\xff=b"]),
        ("NONE", []),
        ("", []),
        ("PATH", [b"PATH=/bin"]),
        ("PATH=/x,NEW=a=b", [b"PATH=/x", b"NEW=a=b"]),
        ("MISSING,ODD", [b"ODD=a\xff=b"]),
        ("ALL,PATH=/x", [b"PATH=/x", b"ODD=a\xff=b"]),
    ],
)
def test_environment(export: str, entries: list[bytes]) -> None:
    seen = capture.environment(export)
    assert [entry for entry in seen if not entry.startswith(b"PYTEST_")] == entries


@pytest.mark.parametrize("export", ["a b", "1A", "é=1", "=x"])
def test_a_name_that_is_none(export: str) -> None:
    with pytest.raises(MgpuError, match="is not the name of a variable"):
        capture.environment(export)


def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.fsencode(tmp_path)
    assert capture.folder() == here
    assert capture.folder("sub/../x") == here + b"/sub/../x"
    assert capture.folder("/else\udcff") == b"/else\xff"


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert capture.folder("/else") == b"/else"
    with pytest.raises(MgpuError, match="does not exist any more"):
        capture.folder()


def test_umask_is_read_and_not_changed() -> None:
    before = os.umask(0o027)
    try:
        assert capture.umask() == 0o027
        assert capture.umask() == 0o027
    finally:
        os.umask(before)


def test_rlimits() -> None:
    rows = {row[0]: tuple(row[1:]) for row in capture.rlimits()}
    assert len(rows) == 16
    assert rows[resource.RLIMIT_NOFILE] == resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.fixture
def nothing_active(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nothing_active")
def test_activation_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.fsencode(tmp_path)
    assert capture.activation() == {"mode": "auto", "path": b""}
    assert capture.activation("v") == {"mode": "venv", "path": here + b"/v"}
    assert capture.activation(conda_env="my env;") == {"mode": "conda", "path": b"my env;"}
    assert capture.activation(conda_env="./e") == {"mode": "conda", "path": here + b"/./e"}


@pytest.mark.usefixtures("nothing_active")
def test_activation_active(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_PREFIX", "/conda")
    assert capture.activation() == {"mode": "conda", "path": b"/conda"}
    monkeypatch.setenv("VIRTUAL_ENV", "/venv")
    assert capture.activation() == {"mode": "venv", "path": b"/venv"}
    assert capture.activation(conda_env="x") == {"mode": "conda", "path": b"x"}
    assert capture.activation("/v", activate=False) == {"mode": "none", "path": b""}
