"""Log lines: ``LEVEL sentence action=... job=...``. Match on ``action``, read the sentence.

Values can come from users: control characters are written out, so that no value can begin
another line or steer a terminal.
"""

from __future__ import annotations

import os
from typing import Final

from mgpu.model.units import visible
from mgpu.system import clock

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """Writes lines of at least ``level`` to a descriptor, each with one system call."""

    def __init__(self, level: str = "info", fd: int = 2) -> None:
        self.level = level
        self._fd = fd
        self.last_error: tuple[float, str] | None = None

    def debug(self, sentence: str, action: str, **ids: object) -> None:
        """What only a developer wants to see."""
        self._write("debug", sentence, action, ids)

    def info(self, sentence: str, action: str, **ids: object) -> None:
        """What happened, as it should."""
        self._write("info", sentence, action, ids)

    def warning(self, sentence: str, action: str, **ids: object) -> None:
        """What is wrong and was coped with."""
        self._write("warning", sentence, action, ids)

    def error(self, sentence: str, action: str, **ids: object) -> None:
        """What an administrator must look at; the last one is kept, with its Unix time."""
        self.last_error = (clock.now().wall, sentence)
        self._write("error", sentence, action, ids)

    def set_level(self, level: str) -> None:
        """Write lines of at least ``level`` from now on."""
        self.level = level

    def _write(self, level: str, sentence: str, action: str, ids: dict[str, object]) -> None:
        if LEVELS[level] < LEVELS[self.level]:
            return
        try:
            os.write(self._fd, line(level, sentence, action, ids).encode(errors="replace"))
        except OSError:
            pass  # a log that cannot be written must not stop the scheduler


#: The log of this process, on its standard error.
log: Final = Log()


def line(level: str, sentence: str, action: str, ids: dict[str, object]) -> str:
    """One log line with its newline."""
    fields = "".join(f" {key}={_value(value)}" for key, value in ids.items() if value is not None)
    return f"{level.upper()} {visible(sentence)} action={action}{fields}\n"


def _value(value: object) -> str:
    text = visible(str(value))
    if text and not any(char in ' "=' for char in text):
        return text
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'
