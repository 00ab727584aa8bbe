"""One connection: connect, see who answers there, send frames, receive messages."""

from __future__ import annotations

import socket
import struct

from mgpu.client.address import Address
from mgpu.model.errors import MgpuError
from mgpu.protocol.codec import pack, unpack_reply
from mgpu.protocol.frames import FrameDecoder, frame
from mgpu.protocol.names import MAX_REPLY, VERSIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    #: Is told the time zone that the server is configured for.
    OnZone = Callable[[str], None]

_CHUNK = 1 << 18
_HELLO = frame(pack({"mgpu": VERSIONS}))


class Absent(Exception):
    """Nobody listens at the address (yet, or any more)."""


class Broken(Exception):
    """The connection ended before the answer was complete; whether it was done is unknown."""


class Transport:
    """A connection to a server that is known to be root or the service user."""

    __slots__ = (
        *("_decoder", "_greeted", "_messages", "_on_zone", "_outgoing", "_socket"),
        "_timeout",
    )

    def __init__(
        self, address: Address, timeout: float | None, on_zone: OnZone | None = None
    ) -> None:
        self._timeout = timeout
        self._on_zone = on_zone
        self._socket = _connect(address.path, timeout)
        self._decoder = FrameDecoder(MAX_REPLY)
        self._messages: list[bytes] = []
        self._greeted = False
        self._outgoing = _HELLO
        try:
            check_server(self._socket, address)
        except BaseException:
            self.close()
            raise

    def send(self, data: bytes) -> None:
        """Send a frame, the first one together with the greeting."""
        try:
            self._socket.sendall(self._outgoing + data)
        except BlockingIOError:
            raise _no_answer(self._timeout) from None
        except OSError:
            return  # the server may have said why before it closed: receive() tells
        finally:
            self._outgoing = b""

    def receive(self) -> dict[str, object]:
        """The next message; the server's greeting is checked on the way."""
        message = unpack_reply(self._next_body())
        if self._greeted or "error" in message:
            return message
        self._take_greeting(message)
        return self.receive()

    def greet(self) -> None:
        """Exchange greetings and nothing else."""
        self.send(b"")
        self._take_greeting(unpack_reply(self._next_body()))

    def _take_greeting(self, message: dict[str, object]) -> None:
        self._greeted = True
        _check_version(message)
        zone = message.get("zone")
        if self._on_zone is not None and isinstance(zone, str):
            self._on_zone(zone)

    def _next_body(self) -> bytes:
        while not self._messages:
            self._messages = self._decoder.feed(self._read())
            self._messages.reverse()
        return self._messages.pop()

    def _read(self) -> bytes:
        try:
            data = self._receive()
        except BlockingIOError:
            raise _no_answer(self._timeout) from None
        except OSError as error:
            raise Broken from error
        if not data:
            raise Broken
        return data

    def _receive(self) -> bytes:
        return self._socket.recv(_CHUNK)

    @property
    def more(self) -> bool:
        """Whether a message has come already that was not received."""
        return bool(self._messages)

    def wait_for(self, timeout: float | None) -> None:
        """Let the next answers take ``timeout`` seconds; None: for ever."""
        self._timeout = timeout
        _set_timeouts(self._socket, timeout)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _check_version(greeting: dict[str, object]) -> None:
    """Raise Version unless the server has chosen a version that is spoken here."""
    version = greeting.get("mgpu")
    if not isinstance(version, int):
        hint = "check --socket, --config and MGPU_RUNTIME_DIR"
        raise MgpuError("Version", "what answers does not speak mgpu's protocol", hint=hint)
    if not VERSIONS[0] <= version <= VERSIONS[1]:
        older = "scheduler" if version < VERSIONS[0] else "command"
        ours = f"{VERSIONS[0]} to {VERSIONS[1]}"
        message = f"the {older} is too old: the server speaks version {version}, the client {ours}"
        raise MgpuError("Version", message, hint="install the same release of mgpu for both")


def check_server(sock: socket.socket, address: Address) -> None:
    """Raise Untrusted unless root or the service user listens at the other end."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid = struct.unpack("3I", raw)[1]
    if uid and uid != _uid_of(address.service_user):
        message = f"the server at {address.path} runs as uid {uid}, not as root or as "
        raise MgpuError(
            "Untrusted",
            message + address.service_user,
            hint="check --socket, --config and MGPU_RUNTIME_DIR; nothing was sent",
        )


def _uid_of(user: str) -> int | None:
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _connect(path: str, timeout: float | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        # Not settimeout(): that makes a full queue of connections an error instead of a wait.
        _set_timeouts(sock, timeout)
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise _connect_error(path, error, timeout) from error
    return sock


def _set_timeouts(sock: socket.socket, timeout: float | None) -> None:
    value = struct.pack("@ll", *divmod(int((timeout or 0) * 1e6), 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


def _connect_error(path: str, error: OSError, timeout: float | None) -> Exception:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return Absent()
    if isinstance(error, BlockingIOError):
        return _no_answer(timeout)
    if isinstance(error, PermissionError):
        hint = "ask an administrator to let you in (settings access.group, access.admin_group)"
        return MgpuError("Denied", f"you may not connect to {path}", hint=hint)
    message = f"cannot connect to {path}: {error.strerror or error}"
    return MgpuError("Unreachable", message, hint="check --socket and MGPU_RUNTIME_DIR")


def _no_answer(timeout: float | None) -> MgpuError:
    hint = "the daemon is busy or stuck; see its log"
    return MgpuError("Unreachable", f"no answer within {timeout or 0:g} s", hint=hint)
