"""Log lines: ``LEVEL sentence action=... job=...``. Match on ``action``, read the sentence.

Values can come from users: control characters are written out, so that no value can begin
another line or steer a terminal. With the format ``json`` a line is one JSON object. Where the
journal listens, each line begins with its priority (sd-daemon(3)).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Final

from mgpu.model.units import visible
from mgpu.system import clock

TEXT, JSON = "text", "json"
#: The journal's number of each level.
PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3}
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """Writes lines of at least ``level`` to a descriptor, each with one system call."""

    def __init__(self, level: str = "info", fd: int = 2) -> None:
        self.level = level
        self._fd = fd
        self.format = TEXT
        self.journal = False
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
        self.remember(sentence)
        self._write("error", sentence, action, ids)

    def remember(self, sentence: str) -> None:
        """An error that another process has written into the log is the last one."""
        self.last_error = (clock.now().wall, sentence)

    def set_level(self, level: str) -> None:
        """Write lines of at least ``level`` from now on."""
        self.level = level

    def configure(self, level: str, form: str, environ: Mapping[str, str] | None = None) -> None:
        """Write lines of at least ``level`` as ``form``; ``environ`` tells of the journal."""
        self.level, self.format = level, form
        if environ is not None:
            self.journal = is_journal(self._fd, environ)

    def _write(self, level: str, sentence: str, action: str, ids: dict[str, object]) -> None:
        if LEVELS[level] < LEVELS[self.level]:
            return
        try:
            make = json_line if self.format == JSON else line
            text = f"<{PRIORITIES[level]}>" * self.journal + make(level, sentence, action, ids)
            os.write(self._fd, text.encode(errors="replace"))
        except OSError:
            pass  # a log that cannot be written must not stop the scheduler


#: The log of this process, on its standard error.
log: Final = Log()


def line(level: str, sentence: str, action: str, ids: dict[str, object]) -> str:
    """One log line with its newline."""
    fields = "".join(f" {key}={_value(value)}" for key, value in ids.items() if value is not None)
    return f"{level.upper()} {visible(sentence)} action={action}{fields}\n"


def json_line(level: str, sentence: str, action: str, ids: dict[str, object]) -> str:
    """One line that is a JSON object."""
    known = {name: value for name, value in ids.items() if value is not None}
    head = {"time": round(clock.now().wall, 3), "level": level, "message": sentence}
    return json.dumps({**head, "action": action, **known}, default=str) + "\n"


def is_journal(fd: int, environ: Mapping[str, str]) -> bool:
    """Whether what is written to ``fd`` goes to the journal itself (systemd.exec(5))."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    if not (device.isdecimal() and inode.isdecimal()):
        return False
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (int(device), int(inode))


def _value(value: object) -> str:
    text = visible(str(value))
    if text and not any(char in ' "=' for char in text):
        return text
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'
