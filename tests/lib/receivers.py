"""A web server and a mail server on loopback that take notices, or fail, hang, redirect, flood.

with WebServer() as web:
    web.behave("/dead", "hang")
    ... post to web.url("/hook") ...
    web.bodies("/hook")
"""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


class Post(NamedTuple):
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """Its body."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class WebServer:
    """Answers each path as told: ``ok``, a status, ``hang``, ``drip``, ``flood`` or ``close``."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server((host, 0), backlog=64)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self.posts: list[Post] = []
        self.connections = 0
        self._how: dict[str, list[str]] = {}
        self._open: list[socket.socket] = []
        self._over = threading.Event()

    def __enter__(self) -> WebServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def url(self, path: str, host: str = "") -> str:
        """Where ``path`` of this server is."""
        return f"http{'s' * (self._tls is not None)}://{host or self.host}:{self.port}{path}"

    def behave(self, path: str, *how: str) -> None:
        """Answer requests for ``path`` so, one after the other; the last holds on."""
        self._how[path] = list(how)

    def of(self, path: str) -> list[Post]:
        """The requests that came for ``path``."""
        return [post for post in self.posts if post.path == path]

    def events(self, path: str) -> list[str]:
        """The events that came to ``path``."""
        return [post.json["event"] for post in self.of(path)]

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self._tls is None:
                self._talk(client)
            else:
                with self._tls.wrap_socket(client, server_side=True) as hidden:
                    self._talk(hidden)

    def _talk(self, client: socket.socket) -> None:
        post = _read(client)
        if post is not None:
            self.posts.append(post)
            self._answer(client, self._next(post.path))

    def _next(self, path: str) -> str:
        how = self._how.get(path, ["ok"])
        return how.pop(0) if len(how) > 1 else how[0]

    def _answer(self, client: socket.socket, how: str) -> None:
        if how == "hang":
            self._over.wait()
        elif how == "drip":
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000:
                client.send(bytes([byte]))
                self._over.wait(0.05)
        elif how == "flood":
            client.send(b"HTTP/1.1 200 OK\r\n")
            while not self._over.is_set():
                client.send(b"X-Flood: " + b"y" * 60_000 + b"\r\n")
        elif how == "continue":
            while not self._over.is_set():
                client.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        elif how.startswith("to "):
            client.send(f"HTTP/1.1 302 Found\r\nLocation: {how[3:]}\r\n\r\n".encode())
        elif how != "close":
            status = "200" if how == "ok" else how
            client.send(f"HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\nok".encode())


def _read(client: socket.socket) -> Post | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += client.recv(65536)
    return Post(first.split(" ")[1], headers, body)


class Mail(NamedTuple):
    """One mail that came: the envelope and the message."""

    sender: str
    to: list[str]
    message: Message


class MailServer:
    """A mail server that keeps what it gets. ``says`` is its answer to a recipient, if not 250.

    With ``tls`` it wants that from the start, with ``starttls`` before it takes mails. ``logins``
    are the names and passwords that came, over TLS alone.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None
    ) -> None:
        self.logins: list[tuple[bytes, bytes]] = []
        more: dict[str, Any] = {}
        if tls is not None:
            more = {"ssl_context": tls}
        elif starttls is not None:
            more = {"tls_context": starttls, "require_starttls": True}
        more |= {"authenticator": self._login, "auth_require_tls": tls is None}
        self.mails: list[Mail] = []
        self.says: list[str] = []
        self.hangs = threading.Event()
        self._over = threading.Event()
        self._controller = Controller(self, hostname="127.0.0.1", port=_free_port(), **more)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._controller.port)

    def _login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any
    ) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=True)

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Take a recipient or not."""
        said = self.says.pop(0) if self.says else "250 OK"
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Take a mail."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        message = BytesParser().parsebytes(content)
        self.mails.append(Mail(str(envelope.mail_from), list(envelope.rcpt_tos), message))
        return "250 taken"

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()
        del self._controller
        # Its loop forgets connections whose handshake failed without closing them.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port whose listener takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port
