"""Log lines of the root-owned processes: a sentence, a stable ``action=``, and ids."""

from __future__ import annotations

import os

_STDERR = 2
_PLAIN = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+,="  # needs no quotes
)
_LEVELS = ("debug", "info", "warning", "error")
_silent: set[str] = set()


def configure(level: str) -> None:
    """Say only what is at ``level`` or above."""
    least = _LEVELS.index(level) if level in _LEVELS else 0
    _silent.clear()
    _silent.update(_LEVELS[:least])


def info(sentence: str, action: str, **ids: object) -> None:
    """Say what happened."""
    _write("info", sentence, action, ids)


def warning(sentence: str, action: str, **ids: object) -> None:
    """Say what is not as it should be, though the daemon goes on."""
    _write("warning", sentence, action, ids)


def error(sentence: str, action: str, **ids: object) -> None:
    """Say what ends the daemon or a start."""
    _write("error", sentence, action, ids)


def line(level: str, sentence: str, action: str, ids: dict[str, object]) -> str:
    """One log line, in the form of ``system.log``; no value can look like a field or a line."""
    fields = "".join(f" {name}={quoted(value)}" for name, value in ids.items())
    return f"{level.upper()} {sentence} action={action}{fields}\n"


def quoted(value: object) -> str:
    """``value`` as it stands if it is plain, else as a Python string literal."""
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else ascii(text)


def _write(level: str, sentence: str, action: str, ids: dict[str, object]) -> None:
    if level in _silent:
        return
    try:
        os.write(_STDERR, line(level, sentence, action, ids).encode("utf-8", "backslashreplace"))
    except OSError:
        return  # nobody listens; that is no reason to stop
