"""A server that says what a test tells it to, over a real Unix socket."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType

from mgpu.protocol.codec import pack, unpack_reply
from mgpu.protocol.frames import FrameDecoder, frame
from mgpu.protocol.names import MAX_REPLY

Message = dict[str, object]
Answer = Callable[[Message], Iterable[Message]]
HELLO: Message = {"mgpu": 1, "version": "0.1.0"}


class HangUp(Exception):
    """Raised by an answer: the connection is closed without one."""


class FakeServer:
    """Answers each request with what ``answer(request)`` yields; keeps requests and greetings."""

    def __init__(self, path: str | os.PathLike[str], answer: Answer) -> None:
        self.path = os.fspath(path)
        self.answer = answer
        self.greeting: Message = HELLO
        self.requests: list[Message] = []
        self.greetings: list[object] = []
        self.connections = 0
        self._current: socket.socket | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> FakeServer:
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        current = self._current
        if current is not None:
            with suppress(OSError):
                current.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        os.unlink(self.path)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._current = connection
            with connection, suppress(HangUp, OSError):
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        decoder = FrameDecoder()
        greeted = False
        while data := connection.recv(1 << 16):
            for body in decoder.feed(data):
                message = unpack_reply(body)
                if greeted:
                    self._reply(connection, message)
                else:
                    greeted = True
                    self.greetings.append(message["mgpu"])
                    send(connection, self.greeting)

    def _reply(self, connection: socket.socket, request: Message) -> None:
        self.requests.append(request)
        for message in self.answer(request):
            send(connection, message)


def send(connection: socket.socket, message: Message) -> None:
    """Send one message as a frame."""
    connection.sendall(frame(pack(message), MAX_REPLY))
