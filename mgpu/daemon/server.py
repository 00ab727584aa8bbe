"""The two listening sockets: accepts, identifies, limits, and hands over whole requests."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial

from mgpu import __version__
from mgpu.daemon import limits
from mgpu.daemon.charges import Ledger, Meter
from mgpu.daemon.connection import Connection
from mgpu.daemon.grants import Grants
from mgpu.daemon.listener import Listener
from mgpu.daemon.loop import HANGUP, READ, WRITE, Loop
from mgpu.model.errors import MgpuError
from mgpu.model.time import Now
from mgpu.protocol import codec, messages
from mgpu.protocol.frames import frame
from mgpu.system import peer, subuids

OnRequest = Callable[[Connection, dict[str, object], Now], None]
OnClose = Callable[[Connection], None]

_STRANGER = MgpuError("Denied", "this socket is for administrators")
_OUTSIDER = MgpuError(
    "Denied",
    "only members of one group may use mgpu on this machine, and you are not in it",
    hint="ask an administrator to let you in (setting access.group), and log in again",
)
_TOO_MANY = MgpuError(
    "LimitReached",
    "you have as many connections open as one user may",
    hint="each command that waits holds one: end some",
)
_TOO_OFTEN = MgpuError(
    "LimitReached",
    "you connect more often than one user may",
    hint="wait some seconds; one connection takes any number of requests",
)


class Server:
    """Accepts on the user and the admin socket and calls ``on_request`` for each request.

    The peer's uid is read once, at accept, from the kernel. A request that its uid's token
    bucket does not allow yet is not refused but waits, unread, on its connection.
    """

    def __init__(
        self,
        loop: Loop,
        ledger: Ledger,
        on_request: OnRequest,
        on_close: OnClose,
        grants: Grants,
        clock: Callable[[], Now],
    ) -> None:
        self._loop = loop
        self._ledger = ledger
        self._on_request = on_request
        self._on_close = on_close
        self.grants = grants
        self.zone = ""  # told to clients, for the times that they show
        self._payers = subuids.Payers()
        #: Whether a uid is an account's own, though it lies in a range that is lent to another.
        self.is_account: Callable[[int], bool] = lambda _uid: False
        self._meter = Meter(ledger, clock)
        self._listeners: list[Listener] = []
        self._connections: dict[int, Connection] = {}
        self._throttled: dict[int, float] = {}

    # -- accepting ----------------------------------------------------------------------------

    def listen(self, sock: socket.socket, *, admin: bool) -> None:
        """Serve the listening socket ``sock``."""
        self._listeners.append(Listener(sock, self._loop, partial(self._welcome, admin=admin)))

    def _welcome(self, client: socket.socket, now: Now, *, admin: bool) -> None:
        client.setblocking(False)
        try:
            uid = peer.credentials(client).uid
            trusted = self.grants.admits(uid, client, admin=admin)
            granted = self.grants.roles(uid, client)
        except OSError:
            client.close()
            return
        payer = uid if self.is_account(uid) else self._payers.of(uid)
        refusal = self._refusal(payer, now, trusted=trusted, admin=admin)
        if refusal is not None:
            _turn_away(client, refusal)
            return
        self._make_room()
        conn = Connection(client, self._loop, now, uid=uid, admin=admin)
        conn.payer = payer
        conn.granted = granted
        self._connections[conn.fd] = conn
        self._loop.watch(conn.fd, lambda mask, at: self._ready(conn, mask, at), READ | limits.RDHUP)

    def _make_room(self) -> None:
        """Where all users have as many as they may: the oldest goes that is not being answered.

        If all are, the oldest: what it asked for was done, or is asked for again.
        """
        if len(self._connections) < limits.CONNECTIONS:
            return
        mine = [conn for conn in self._connections.values() if conn.uid and not conn.admin]
        oldest = next((conn for conn in mine if not conn.busy), next(iter(mine), None))
        if oldest is not None:
            self.close(oldest)

    def _refusal(self, payer: int, now: Now, *, trusted: bool, admin: bool) -> MgpuError | None:
        """Why a new connection is not kept; an administrator is not asked how often."""
        if not trusted:
            return _STRANGER if admin else _OUTSIDER
        if not admin and not self._ledger.connect(payer, now.boot):
            return _TOO_OFTEN
        return None if self._ledger.open(payer, now.boot) else _TOO_MANY

    # -- one connection -----------------------------------------------------------------------

    def _ready(self, conn: Connection, mask: int, now: Now) -> None:
        try:
            alive = self._transfer(conn, mask, now)
            self._weigh(conn)
        except MgpuError as error:
            self._refuse(conn, error, now)
            return
        if alive:
            self.advance(conn, now)
        else:
            self.close(conn)

    def _transfer(self, conn: Connection, mask: int, now: Now) -> bool:
        """Move bytes both ways. False when the connection is over."""
        if mask & WRITE and not self._meter.timed(conn.payer, lambda: conn.flush(now)):
            return False
        if mask & READ:
            return conn.receive(now)
        return not mask & (limits.RDHUP | HANGUP)

    def _weigh(self, conn: Connection) -> None:
        """Charge what the connection holds; too much of it is refused."""
        more = conn.held - conn.charged
        conn.charged += more
        if not self._ledger.hold(conn.payer, more):
            raise MgpuError(
                "LimitReached",
                f"your connections hold more than {limits.UNANSWERED} bytes of requests",
                hint="send large requests one after the other",
            )

    def reply(self, conn: Connection, message: dict[str, object], now: Now) -> None:
        """Answer the connection's request with ``message`` and go on with what it sent next."""
        if not conn.gone:
            conn.send(message)
            self.finish(conn, now)

    def push(self, conn: Connection, message: dict[str, object], now: Now) -> None:
        """Send one message of several to a connection whose request goes on."""
        if conn.gone:
            return
        conn.send(message)
        if not conn.flush(now):
            self.close(conn)

    def hand(
        self, conn: Connection, message: dict[str, object], line: socket.socket, now: Now
    ) -> None:
        """Answer with ``message`` and a socket; then nothing but the client's end is awaited."""
        if conn.gone:
            line.close()
            return
        conn.hand(message, line)
        if not conn.flush(now):
            self.close(conn)

    def finish(self, conn: Connection, now: Now) -> None:
        """The connection's request is answered (queued, or streaming)."""
        if conn.gone:
            return
        alive = conn.finish(now)
        self._weigh(conn)
        if alive:
            self.advance(conn, now)
        else:
            self.close(conn)

    def advance(self, conn: Connection, now: Now) -> None:
        """Hand over the connection's next request, if it has one and may be served."""
        if conn.advancing:  # an answer came at once: the loop below goes on by itself
            return
        conn.advancing = True
        try:
            while conn.ready and (message := conn.next_message()) is not None:
                self._handle(conn, message, now)
        except MgpuError as error:
            self._refuse(conn, error, now)
        finally:
            conn.advancing = False
        if conn.ready and conn.unsent and not conn.flush(now):
            self.close(conn)

    def _handle(self, conn: Connection, message: dict[str, object], now: Now) -> None:
        if not conn.greeted:
            self._greet(conn, message, now)
            return
        conn.begin()
        again = self._ledger.request(conn.payer, now.boot, conn.size)
        if again:
            self._throttled[conn.fd] = again
            conn.waiting = message
        else:
            self._serve(conn, message, now)

    def _serve(self, conn: Connection, message: dict[str, object], now: Now) -> None:
        self._meter.timed(conn.payer, lambda: self._on_request(conn, message, now))

    def charge(self, conn: Connection, jobs: int) -> None:
        """Charge the connection's request for the jobs that it makes or names."""
        self._ledger.charge(conn.payer, jobs=jobs)

    def _greet(self, conn: Connection, message: dict[str, object], now: Now) -> None:
        conn.send(messages.hello(messages.parse_hello(message), __version__, self.zone))
        conn.greeted = True
        conn.size = 0
        conn.rest(now)

    def _refuse(self, conn: Connection, error: MgpuError, now: Now) -> None:
        """Answer bytes that are no request, and hang up: what follows them cannot be trusted."""
        conn.closing = True
        self._throttled.pop(conn.fd, None)
        conn.drop()
        self._weigh(conn)
        conn.send(messages.error(error))
        conn.busy = False
        conn.deadline = now.boot + limits.IDLE
        if not conn.flush(now):
            self.close(conn)

    def close(self, conn: Connection) -> None:
        """Forget a connection and give back its charges."""
        if self._connections.pop(conn.fd, None) is None:
            return
        self._throttled.pop(conn.fd, None)
        self._loop.forget(conn.fd)
        conn.close()
        self._ledger.hold(conn.payer, -conn.charged)
        self._ledger.close(conn.payer)
        self._on_close(conn)

    # -- time ---------------------------------------------------------------------------------

    def deadlines(self) -> Iterator[float | None]:
        """Boot times at which :meth:`expire` has something to do."""
        yield from (listener.rests_until for listener in self._listeners)
        yield from self._throttled.values()
        for conn in self._connections.values():
            yield conn.deadline

    def expire(self, now: Now) -> None:
        """Do what has come due: accept again, serve throttled requests, close silent clients."""
        for listener in self._listeners:
            listener.expire(now)
        for fd in [f for f, at in self._throttled.items() if now.boot >= at]:
            self._serve_throttled(self._connections[fd], now)
        late = [c for c in self._connections.values() if c.deadline and now.boot >= c.deadline]
        for conn in late:
            self.close(conn)
        self._ledger.prune(now.boot)

    def _serve_throttled(self, conn: Connection, now: Now) -> None:
        again = self._ledger.request(conn.payer, now.boot, conn.size)
        if again:
            self._throttled[conn.fd] = again
            return
        del self._throttled[conn.fd]
        message, conn.waiting = conn.waiting, {}
        self._serve(conn, message, now)


def _turn_away(client: socket.socket, error: MgpuError) -> None:
    """Say why, as far as the new connection takes it at once, and hang up."""
    try:
        client.send(frame(codec.pack(messages.error(error))))
    except OSError:
        pass
    client.close()
