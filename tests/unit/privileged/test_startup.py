"""What the launcher makes of the machine before it starts."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from mgpu.privileged import cgroup, startup, systemd


def test_a_folder_of_cgroups_that_cannot_be_written_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class ReadOnly:
        def lock(self) -> int:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(cgroup, "open_groups", lambda _name: ReadOnly())
    assert startup._groups("mgpu") == (None, [])
    told = capfd.readouterr().err
    assert "action=cgroup-unavailable" in told
    assert "Read-only file system" in told


def test_a_socket_that_was_passed_in_lies_where_clients_look(tmp_path: Path) -> None:
    folder, link = tmp_path / "run", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(folder / "mgpu.sock"))
        sock.listen()
        assert [systemd.problem("user", sock, str(place)) for place in (folder, link)] == ["", ""]
        told = systemd.problem("user", sock, str(tmp_path))
        assert str(folder / "mgpu.sock") in told
        assert "paths.runtime_dir" in told
