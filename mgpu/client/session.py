"""Requests that outlive a restart of the scheduler: connect again, ask again with the same bytes.

Asking twice is safe: every operation is idempotent, ``submit`` by its request key.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator

from mgpu.client.address import Address
from mgpu.client.transport import Absent, Broken, Transport
from mgpu.model.errors import EXIT_STATUS, MgpuError
from mgpu.protocol.codec import pack
from mgpu.protocol.frames import frame

#: Seconds spent waiting for a scheduler that was there and is gone, and for its socket.
PATIENCE = 30.0
SOCKET_PATIENCE = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mgpu.client.attach import Attachment
    from mgpu.client.news import News
    from mgpu.client.transport import OnZone

    #: A body from a server that is trusted: read without checking each type again.
    Message = dict[str, Any]
    OnPart = Callable[[Message], None]


class Reply:
    """An answer: ``parts`` in order, then the ``body`` that ended it."""

    __slots__ = ("body", "parts")

    def __init__(self, parts: list[Message], body: Message) -> None:
        self.parts = parts
        self.body = body


class Session:
    """A connection that is made when first needed and made anew when it breaks."""

    __slots__ = ("_address", "_met", "_on_zone", "_timeout", "_transport")

    def __init__(
        self, address: Address, timeout: float | None, on_zone: OnZone | None = None
    ) -> None:
        self._address = address
        self._on_zone = on_zone
        self._timeout = timeout
        self._transport: Transport | None = None
        self._met = False

    def news(self) -> News:
        """News of the same scheduler, over a connection of their own."""
        from mgpu.client.news import News

        return News(self._address)

    def ask(
        self, request: dict[str, object], on_part: OnPart | None = None, *, patient: bool = False
    ) -> Reply:
        """The reply to ``request``; ``on_part`` sees parts as they come, again after a break.

        ``patient``: the answer may take for ever.
        """
        data = frame(pack(request))
        pauses = growing_pauses()
        while True:
            try:
                return self._ask_once(data, on_part, patient=patient)
            except (Absent, Broken) as error:
                self.close()
                wait_again(self._address, pauses, error, met=self._met)

    def greet(self) -> None:
        """Connect and hear the greeting, without asking for anything."""
        try:
            self._connected().greet()
        except (Absent, Broken):
            raise _unreachable(self._address, 0) from None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _ask_once(self, data: bytes, on_part: OnPart | None, *, patient: bool) -> Reply:
        transport = self._connected()
        try:
            transport.send(data)
            if patient:
                transport.wait_for(None)
            return _collect(transport, on_part)
        except (MgpuError, KeyboardInterrupt):
            self.close()  # what was not read of this answer must not become the next one's
            raise
        finally:
            if patient and self._transport is not None:
                transport.wait_for(self._timeout)

    def attachment(self, job: int, *, read_only: bool) -> Attachment:
        """The terminal of a job, over a connection of its own."""
        from mgpu.client.attach import Attachment

        return Attachment(self._address, job, read_only=read_only, met=self._met)

    def _connected(self) -> Transport:
        if self._transport is None:
            self._transport = Transport(self._address, self._timeout, self._on_zone)
            self._met = True
        return self._transport


def wait_again(
    address: Address, pauses: Iterator[tuple[float, float]], error: Exception, *, met: bool
) -> None:
    """Wait for a scheduler that was ``met`` and does not answer; raise when it takes too long."""
    waited, pause = next(pauses)
    patience = PATIENCE if isinstance(error, Broken) else SOCKET_PATIENCE
    if not met or waited >= patience:
        raise _unreachable(address, waited) from None
    select.select((), (), (), pause)


def _unreachable(address: Address, waited: float) -> MgpuError:
    after = f" (waited {waited:.0f} s)" if waited else ""
    message = f"no mgpu daemon answers at {address.path}{after}"
    return MgpuError("Unreachable", message, hint="start it: systemctl start mgpu, or mgpud")


def _collect(transport: Transport, on_part: OnPart | None) -> Reply:
    parts: list[Message] = []
    while True:
        kind, body = opened(transport.receive())
        if kind == "ok":
            return Reply(parts, body)
        if on_part is None:
            parts.append(body)
        else:
            on_part(body)


def opened(message: Message) -> tuple[str, Message]:
    """The kind of an answer, ``part`` or ``ok``, and what is in it; raises the error that it is."""
    for kind in ("part", "ok"):
        body = message.get(kind)
        if isinstance(body, dict):
            return kind, body
    raise _fault(message.get("error"))


def _fault(body: object) -> MgpuError:
    if not isinstance(body, dict):
        return MgpuError("Internal", "the server's answer makes no sense")
    texts = (str(body.get(key) or "") for key in ("code", "message", "path", "hint"))
    code, message, path, hint = texts
    if code not in EXIT_STATUS:  # of a newer server
        message, code = f"{message} ({code})", "Refused"
    return MgpuError(code, message, path=path, hint=hint)


def growing_pauses() -> Iterator[tuple[float, float]]:
    """Pairs of (seconds waited so far, next pause), ever longer."""
    waited, pause = 0.0, _FIRST_PAUSE
    while True:
        yield waited, pause
        waited += pause
        pause = min(pause * 2, _LONGEST_PAUSE)
