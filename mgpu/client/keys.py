"""What is typed into an attached terminal: bytes for the job, and the keys that detach."""

from __future__ import annotations

#: Ctrl-\\, after which a ``d`` detaches.
PREFIX = 0x1C
_CTRL_C = 0x03
DETACH = ord("d")


class Keys:
    """Finds ``Ctrl-\\ d`` in what is typed, also when the two come apart.

    ``Ctrl-\\`` twice is one for the job; before any other key it is passed on as it is.
    ``on_control_c``: Ctrl-C detaches too, since it can do nothing else.
    """

    __slots__ = ("_held", "_on_control_c", "detached")

    def __init__(self, *, on_control_c: bool = False) -> None:
        self._held = False
        self._on_control_c = on_control_c
        self.detached = False

    def typed(self, data: bytes) -> bytes:
        """What of ``data`` is for the job; what follows a detach is for nobody."""
        out = bytearray()
        for byte in data:
            if byte == _CTRL_C and self._on_control_c:
                self.detached = True
                break
            if not self._held:
                self._held = byte == PREFIX
                if not self._held:
                    out.append(byte)
                continue
            self._held = False
            if byte == DETACH:
                self.detached = True
                break
            out += bytes((PREFIX,)) if byte == PREFIX else bytes((PREFIX, byte))
        return bytes(out)
