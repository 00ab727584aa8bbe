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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_a_folder_of_another_owner_is_only_taken_when_it_is_empty(tmp_path: Path) -> None:
    """A slip in [paths] gives nobody's files to root or to mgpu."""
    theirs, roots = tmp_path / "theirs", tmp_path / "roots"
    for folder in (theirs, roots):
        folder.mkdir()
        (folder / "file").touch()
    os.chown(theirs, 12345, 12345)
    with pytest.raises(startup.StartError, match="belongs to uid 12345"):
        startup._make(str(theirs), 0o755)
    with pytest.raises(startup.StartError, match="belongs to uid 0"):
        startup._make_service(str(roots), (54321, 54321))
    assert (theirs.stat().st_uid, roots.stat().st_uid) == (12345, 0)
    (theirs / "file").unlink()
    os.close(startup._make(str(theirs), 0o755))
    assert theirs.stat().st_uid == 0


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
