"""A connection of its own that tells when something has happened at the scheduler."""

from __future__ import annotations

from mgpu.client.address import Address
from mgpu.client.transport import Absent, Broken, Transport
from mgpu.model.errors import MgpuError
from mgpu.protocol.codec import pack
from mgpu.protocol.frames import frame
from mgpu.protocol.names import NEWS


class News:
    """Use :meth:`descriptor` in a poll, and :meth:`take` what has come once it is readable.

    News are a convenience: where the scheduler is gone, or too old to tell any, there are none
    until it is asked again.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._transport: Transport | None = None
        self._seen = 0
        self._asked = False

    def descriptor(self) -> int | None:
        """What becomes readable once something has happened; None where nobody will tell."""
        if not self._asked:
            self._ask()
        return None if self._transport is None else self._transport.fileno()

    def take(self) -> None:
        """Receive what has come."""
        self._asked = False
        try:
            body = self._transport.receive().get("ok") if self._transport is not None else None
        except (Broken, MgpuError):
            body = None
        if isinstance(body, dict) and isinstance(body.get("seen"), int):
            self._seen = body["seen"]
        else:
            self.close()

    def close(self) -> None:
        """End the connection."""
        self._asked = False
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _ask(self) -> None:
        try:
            if self._transport is None:
                self._transport = Transport(self._address, None)
                self._seen = 0  # answered at once, and so the greeting is not read alone
            self._transport.send(frame(pack({"op": NEWS, "seen": self._seen})))
            self._asked = True
        except (Absent, Broken, MgpuError):
            self.close()
