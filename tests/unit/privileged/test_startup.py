"""What the launcher makes of the machine before it starts."""

from __future__ import annotations

import errno
import os

import pytest

from mgpu.privileged import cgroup, startup


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
