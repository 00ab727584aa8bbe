"""Where a job's output goes: the pattern's expansion, and the opening of the file, as the user."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from mgpu.privileged.refusal import Refusal, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NULL_DEVICE = os.makedev(1, 3)
_DEFAULT_FOLDER = b".local/state/mgpu/logs"
_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
_DIGITS = b"0123456789"


def clean(value: bytes) -> bytes:
    """``value`` as a part of a file's name: no slash, no control character, no ``..``."""
    kept = bytes(0x5F if byte < 0x20 or byte in b"/\x7f" else byte for byte in value)
    return kept.replace(b".", b"_") if not kept.strip(b".") else kept


def expand(pattern: bytes, values: dict[bytes, int | bytes]) -> bytes:
    """``pattern`` with ``%x`` replaced by ``values[b"x"]``.

    ``%4j`` pads a number with zeros, ``%%`` is a percent sign, an unknown ``%q`` stays.
    """
    out, rest = b"", pattern
    while rest:
        text, percent, rest = rest.partition(b"%")
        out += text
        if percent:
            done, rest = _one(rest, values)
            out += done
    return out


def _one(rest: bytes, values: dict[bytes, int | bytes]) -> tuple[bytes, bytes]:
    """The expansion of what follows a percent sign, and what is left after it."""
    letter = rest.lstrip(_DIGITS)[:1]
    digits = rest[: len(rest) - len(rest.lstrip(_DIGITS))]
    after = rest[len(digits) + 1 :]
    if letter == b"%" and not digits:
        return b"%", after
    value = values.get(letter) if letter else None
    if value is None:
        return b"%" + digits + letter, after
    if type(value) is int:
        return b"%0*d" % (min(int(digits or b"0"), 20), value), after
    return clean(value), after  # type: ignore[arg-type]


def default_path(home: bytes, job: int, array: Sequence[int] | None) -> bytes:
    """The log of a job that named none; ``array`` begins with the array's id and the task."""
    name = b"%d.log" % job if array is None else b"%d_%d.log" % (array[0], array[1])
    return os.path.join(home, _DEFAULT_FOLDER, name)


def open_log(path: bytes, *, truncate: bool, make_folder: bool = False) -> int:
    """Open ``path`` for the job's output; a regular file or /dev/null, else ``Refusal``.

    Opening never blocks and never takes a terminal, whatever the path turns out to be.
    """
    try:
        if make_folder:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        fd = os.open(path, _OPEN_FLAGS, 0o666)
    except OSError as error:
        raise Refusal.of("output", error, shown(path)) from error
    _check_kind(fd, path)
    if truncate:
        os.ftruncate(fd, 0)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    return fd


def _check_kind(fd: int, path: bytes) -> None:
    found = os.fstat(fd)
    null = stat.S_ISCHR(found.st_mode) and found.st_rdev == _NULL_DEVICE
    if not null and not stat.S_ISREG(found.st_mode):
        detail = f"{shown(path)}: neither a regular file nor /dev/null"
        raise Refusal("output", errno.EINVAL, detail)
