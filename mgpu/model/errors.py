"""The errors that a caller can meet: a code, what is wrong with the value, what to do next.

A code is part of the interface: it is stable, has an exit status, and is documented in
``docs/reference/errors.md``.
"""

from __future__ import annotations

#: code -> exit status of a command that meets it (design: 1 refused, 2 usage, 69 unreachable).
EXIT_STATUS = {
    "BadRequest": 2,
    "TooLarge": 1,
    "Denied": 1,
    "UnknownJob": 1,
    "Unknown": 1,
    "Refused": 1,
    "LimitReached": 1,
    "AccountRefused": 1,
    "StorageFull": 1,
    "RecoveryMode": 1,
    "Version": 69,
    "Unreachable": 69,
    "Untrusted": 69,
    "Internal": 70,
}


class MgpuError(Exception):
    """Something the caller asked for cannot be done.

    ``code`` is a key of :data:`EXIT_STATUS`; ``path`` names the field at fault (``spec.gpus``)
    or is empty; ``hint`` says what to do next or is empty.
    """

    def __init__(self, code: str, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}"

    @property
    def exit_status(self) -> int:
        """The exit status of a command that ends with this error."""
        return EXIT_STATUS.get(self.code, 1)
