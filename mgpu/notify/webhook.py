"""One POST to one URL: no redirect is followed, and of the answer only its head is read."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
from collections.abc import Container, Mapping
from typing import Final, NamedTuple

from mgpu import __version__
from mgpu.model.address import Url
from mgpu.notify import reach, texts, tls

SIGNATURE: Final = "X-Mgpu-Signature"
_PASSING: Final = frozenset({408, 425, 429})


class Result(NamedTuple):
    """How it went: ``passing`` says that it may go better later."""

    delivered: bool
    passing: bool = False
    why: str = ""


class Parcel(NamedTuple):
    """What is sent: the number and the event of the notice, and its JSON."""

    id: int
    event: str
    body: str


def signature(secret: str, at: int, body: bytes) -> str:
    """What proves that the body was sent at this time by who knows the secret."""
    signed = f"{at}.".encode() + body
    return f"t={at},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def send(
    url: Url,
    parcel: Parcel,
    extra: Mapping[str, str],
    allowed: Container[str],
    *,
    timeout: float,
    now: float,
    ca_file: str = "",
) -> Result:
    """Post the parcel; raises OSError, ``tls.Unusable`` and what ``http.client`` raises."""
    body = texts.slack(json.loads(parcel.body)) if url.slack else parcel.body.encode()
    headers = {
        "Host": url.place,
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"mgpu/{__version__}",
        "Connection": "close",
        "X-Mgpu-Event": parcel.event,
        "X-Mgpu-Delivery": str(parcel.id),
        **extra,
    }
    if url.secret:
        headers[SIGNATURE] = signature(url.secret, int(now), body)
    sock = reach.connect(url.host, url.port, allowed, timeout)
    try:
        if url.scheme == "https":
            sock = tls.context(ca_file).wrap_socket(sock, server_hostname=url.host)
        return _judge(_post(url, body, headers, sock))
    finally:
        sock.close()


def _post(url: Url, body: bytes, headers: Mapping[str, str], sock: socket.socket) -> int:
    """The status of the answer."""
    connection = http.client.HTTPConnection(url.host, url.port)
    connection.sock = sock
    connection.request("POST", url.path, body, dict(headers))
    return connection.getresponse().status


def _judge(status: int) -> Result:
    if 200 <= status < 300:
        return Result(delivered=True)
    if 300 <= status < 400:
        return Result(delivered=False, why=f"HTTP {status}: redirects are not followed")
    passing = status >= 500 or status in _PASSING
    return Result(delivered=False, passing=passing, why=f"HTTP {status}")
