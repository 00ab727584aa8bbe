"""Files that the configuration names in place of a secret: ``@/etc/mgpu/token``.

They are read by the process that is about to become the notifier, so that no other one holds them.
"""

from __future__ import annotations

import os
import stat

from mgpu.privileged import trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST = 4096
#: What is no file, as a pipe, is refused and not waited for.
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PLACES = frozenset({"url", "secret", "headers", "notices.smtp_password"})


def check(values: dict[str, Any]) -> None:
    """Raise ``Untrusted`` or OSError where a file of a secret cannot be used."""
    _walk(values, _judge)


def resolved(values: dict[str, Any]) -> dict[str, Any]:
    """The settings with what the files hold."""
    found: dict[str, Any] = _walk(values, read)
    return found


def read(path: str) -> str:
    """The first line of a file that root alone can read."""
    fd = os.open(path, _OPEN)
    try:
        _judge_open(fd, path)
        return os.read(fd, _MOST).decode("ascii", "replace").partition("\n")[0].strip()
    finally:
        os.close(fd)


def _judge(path: str) -> str:
    fd = os.open(path, _OPEN)
    try:
        _judge_open(fd, path)
    finally:
        os.close(fd)
    return path


def _judge_open(fd: int, path: str) -> None:
    trust.check(path)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        raise trust.Untrusted(f"{path} is no file")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise trust.Untrusted(
            f"{path} holds a secret and others than root may use it: chmod 600 it"
        )


def _walk(value: Any, use: Any, *, place: str = "") -> Any:
    """``value`` with what ``use`` makes of each path behind an @ where secrets may stand."""
    if type(value) is dict:
        inside = place == "headers"
        return {k: _walk(v, use, place=place if inside else k) for k, v in value.items()}
    if type(value) is list:
        return [_walk(one, use) for one in value]
    if type(value) is str and value.startswith("@/") and place in _PLACES:
        return use(value[1:])
    return value
