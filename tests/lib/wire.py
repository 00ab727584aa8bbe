"""The wire by hand, for tests that must not depend on the client: frames over a Unix socket."""

from __future__ import annotations

import os
import socket
from types import TracebackType
from typing import Any

import msgpack

HEADER = 4


def frame(value: object) -> bytes:
    """``value`` as one frame."""
    body = msgpack.packb(value)
    return len(body).to_bytes(HEADER, "big") + bytes(body)


class Wire:
    """One connection to a daemon's socket that has said its version."""

    def __init__(self, path: str | os.PathLike[str], timeout: float = 10.0) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(os.fspath(path))
            self.sock.sendall(frame({"mgpu": [1, 1]}))
            self.greeting = self.receive()
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    def receive(self) -> dict[str, Any]:
        """The next frame; EOFError when the other side closes."""
        body = self._exactly(int.from_bytes(self._exactly(HEADER), "big"))
        value: dict[str, Any] = msgpack.unpackb(body)
        return value

    def ask(self, request: dict[str, object]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Send ``request``; return the parts and the last frame (``ok`` or ``error``)."""
        self.sock.sendall(frame(request))
        parts: list[dict[str, Any]] = []
        while "part" in (answer := self.receive()):
            parts.append(answer["part"])
        return parts, answer

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise EOFError("the server closed the connection")
            data += more
        return data
