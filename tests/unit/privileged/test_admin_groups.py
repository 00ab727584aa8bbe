"""Further groups of administrators, on a socket that systemd has made."""

from __future__ import annotations

import grp
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mgpu.privileged import acl, startup, systemd

GROUPS = {"mgpu-admin": 700, "wheel": 701}


def known(name: str) -> Any:
    return SimpleNamespace(gr_gid=GROUPS[name])


@pytest.mark.parametrize(
    ("further", "asked"),
    [
        (["wheel"], [(700, [701])]),
        (["wheel", "no-such-group"], [(700, [701])]),
        ([], []),
    ],
)
def test_they_are_let_in_besides_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, further: list[str], asked: list[Any]
) -> None:
    path = str(tmp_path / "admin.sock")
    let: list[Any] = []

    def let_write(where: str, owner: int | None, gids: list[int]) -> None:
        assert where == path
        let.append((owner, gids))

    with socket.socket(socket.AF_UNIX) as user, socket.socket(socket.AF_UNIX) as admin:
        admin.bind(path)
        user.bind(str(tmp_path / "mgpu.sock"))
        user.listen()
        admin.listen()
        given = {"user": user, "admin": admin}
        monkeypatch.setattr(systemd, "inherited_sockets", lambda *_: given)
        monkeypatch.setattr(grp, "getgrnam", known)
        monkeypatch.setattr(acl, "let_write", let_write)
        settings: Any = SimpleNamespace(
            group="", runtime=str(tmp_path), admin_group="mgpu-admin", admin_groups=further
        )
        assert startup.open_sockets(settings) == (user, admin)
    assert let == asked
