"""Where the client looks for the scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgpu.client.address import find
from mgpu.model.errors import MgpuError


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MGPU_RUNTIME_DIR", "MGPU_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "config.toml"
    file.write_text('[paths]\nruntime_dir = "/config"\n[access]\nservice_user = "other"\n')
    return str(file)


def test_default() -> None:
    assert find() == ("/run/mgpu/mgpu.sock", "mgpu")
    assert find(admin=True).path == "/run/mgpu/admin.sock"


def test_a_named_socket_wins(monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    monkeypatch.setenv("MGPU_RUNTIME_DIR", "/variable")
    assert find("/my.sock", config) == ("/my.sock", "other")
    assert find("/my.sock", admin=True).path == "/my.sock"


def test_the_variable_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    monkeypatch.setenv("MGPU_RUNTIME_DIR", "/variable")
    assert find(config=config).path == "/variable/mgpu.sock"


def test_the_file(monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    assert find(config=config, admin=True) == ("/config/admin.sock", "other")
    monkeypatch.setenv("MGPU_CONFIG", config)
    assert find() == ("/config/mgpu.sock", "other")


def test_a_file_without_the_keys(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("paths = 3\n[access]\nservice_user = 7\n")
    assert find(config=str(file)) == ("/run/mgpu/mgpu.sock", "mgpu")


@pytest.mark.parametrize(("content", "message"), [(b"x", "is not TOML"), (b"\xff", "is not TOML")])
def test_a_bad_file(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(content)
    with pytest.raises(MgpuError, match=message):
        find(config=str(file))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MgpuError, match="cannot be read: No such file"):
        find(config=str(tmp_path / "none"))
