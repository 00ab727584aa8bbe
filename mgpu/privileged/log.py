"""Log lines of the root-owned processes: a sentence, a stable ``action=``, and ids."""

from __future__ import annotations

import os

from mgpu.privileged import clock

_STDERR = 2
_PLAIN = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+,"  # needs no quotes
)
_LEVELS = ("debug", "info", "warning", "error")
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
_silent: set[str] = set()
_form = {"json": False, "journal": False}


def configure(level: str, form: str = "") -> None:
    """Say only what is at ``level`` or above, as ``text`` or ``json`` (empty: as before)."""
    _form["json"] = form == "json" if form else _form["json"]
    _form["journal"] = _is_journal(os.environ.get("JOURNAL_STREAM", ""))
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
    fields = "".join(f" {name}={_quoted(value)}" for name, value in ids.items())
    return f"{level.upper()} {sentence} action={action}{fields}\n"


def json_line(level: str, sentence: str, action: str, ids: dict[str, object]) -> str:
    """One log line as a JSON object, in the form of ``system.log``."""
    import json  # the processes of jobs do without

    head = {"time": round(clock.wall(), 3), "level": level, "message": sentence, "action": action}
    return json.dumps({**head, **ids}, default=str) + "\n"


def _is_journal(stream: str) -> bool:
    """Whether standard error goes to the journal itself (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(_STDERR)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def _quoted(value: object) -> str:
    """``value`` as it stands if it is plain, else in quotes, with what is not ASCII written out."""
    text = str(value)
    if text and _PLAIN.issuperset(text):
        return text
    written = text.encode("unicode_escape").decode("ascii")
    return '"' + written.replace('"', '\\"') + '"'


def _write(level: str, sentence: str, action: str, ids: dict[str, object]) -> None:
    if level in _silent:
        return
    try:
        make = json_line if _form["json"] else line
        text = f"<{_PRIORITIES[level]}>" * _form["journal"] + make(level, sentence, action, ids)
        os.write(_STDERR, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return  # nobody listens; that is no reason to stop
