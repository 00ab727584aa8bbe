"""Sockets that are passed in, as the daemon judges them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mgpu.privileged import startup, systemd


def unheard() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("")  # a name of the kernel's
    return sock


def datagrams() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind("")
    return sock


def connected() -> socket.socket:
    near, far = socket.socketpair()
    far.close()
    return near


def internet() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.mark.parametrize("make", [unheard, datagrams, connected, internet])
def test_only_a_unix_stream_that_listens_is_served(
    make: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    with make() as odd:
        monkeypatch.setattr(systemd, "inherited_sockets", lambda *_: {"user": odd, "admin": odd})
        settings: Any = SimpleNamespace(
            group="", admin_group="root", admin_groups=[], runtime="/run/mgpu"
        )
        with pytest.raises(startup.StartError, match="'user' that was passed in"):
            startup.open_sockets(settings)


@pytest.mark.parametrize("count", ["", "-1", "two", "\N{SUPERSCRIPT TWO}"])
def test_what_is_no_number_of_sockets_is_none(count: str) -> None:
    environ = {"LISTEN_FDS": count, "LISTEN_FDNAMES": "user", "LISTEN_PID": str(os.getpid())}
    assert systemd.inherited_sockets(environ, os.getpid()) == {}
    assert environ == {}
