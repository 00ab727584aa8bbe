"""Connections of webhooks: to public addresses, and to hosts that an administrator named.

A name is resolved once, and what is connected to is an address that was judged, so that no second
answer of a name server leads elsewhere.
"""

from __future__ import annotations

import socket
from collections.abc import Container
from typing import Any

from mgpu.model.hosts import is_public


class Refused(Exception):
    """An address that may not be reached; the text names no part of the target."""


def connect(host: str, port: int, allowed: Container[str], timeout: float) -> socket.socket:
    """A connection to ``host``; raises :class:`Refused`, or OSError of the last address tried."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    usable = [one for one in found if host in allowed or is_public(str(one[4][0]))]
    if not usable:
        raise Refused("its host has no address of the open Internet")
    error: OSError | None = None
    for family, kind, protocol, _, place in usable:
        try:
            return _connected(family, kind, protocol, place, timeout)
        except OSError as one:
            error = one
    raise error if error is not None else OSError("no address")


def _connected(family: int, kind: int, protocol: int, place: Any, timeout: float) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    sock.settimeout(timeout)
    try:
        sock.connect(place)
    except BaseException:
        sock.close()
        raise
    return sock
