"""Sizes, durations and text as people write and read them. Errors are ValueError with the value."""

from __future__ import annotations

import math
import re

# Compiled on first use (re keeps them): most commands that load this module never parse.
_MEMORY = r"(?ai)(\d{1,15}(?:\.\d{1,15})?)(?:([KMGT])(?:i?B)?)?"
_SPAN = r"(?ai)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,12})s)?"
_CLOCK = r"(?a)(?:(\d{1,9})-)?(\d{1,9})(?::(\d{1,9}))?(?::(\d{1,12}))?"
_KIB = {"K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30}
_DAY = 86400
_UNLIMITED = frozenset({"unlimited", "infinite", "none"})

#: No duration is longer and no size larger; far below what a 64-bit integer holds.
MAX_SECONDS = 100 * 365 * _DAY
MAX_MEMORY = 1 << 30


def parse_memory(text: str) -> int:
    """MiB of ``8000``, ``8G``, ``20GiB``, ``1.5T``: MiB when bare, powers of 1024, rounded up."""
    match = re.fullmatch(_MEMORY, text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is not a size; write 8000 (MiB), 8G or 1.5T")
    kib = float(match[1]) * _KIB[(match[2] or "M").upper()]
    mib = -int(-kib // 1024)
    if not 1 <= mib <= MAX_MEMORY:
        raise ValueError(f"{quoted(text)} is out of range; a size is 1 to {MAX_MEMORY} MiB")
    return mib


def parse_duration(text: str) -> int:
    """Seconds of ``600``, ``10m``, ``2h30m``, ``10:00`` or ``1-12:00:00``; 0 means no limit."""
    plain = text.strip()
    if plain.lower() in _UNLIMITED:
        return 0
    match = re.fullmatch(_SPAN, plain)
    if match is not None and plain:
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return _bounded(text, days * _DAY + hours * 3600 + minutes * 60 + seconds)
    return _bounded(text, int(plain)) if _is_number(plain) else _clock(text, plain)


def parse_slurm_time(text: str) -> int:
    """Seconds of Slurm's forms: minutes when bare, ``m:s``, ``h:m:s``, ``d-h``, ``d-h:m:s``."""
    plain = text.strip()
    if plain.lower() in _UNLIMITED:
        return 0
    return _bounded(text, int(plain) * 60) if _is_number(plain) else _clock(text, plain)


def _is_number(plain: str) -> bool:
    return plain.isascii() and plain.isdecimal() and len(plain) <= 15


def _clock(text: str, plain: str) -> int:
    match = re.fullmatch(_CLOCK, plain)
    if match is None or (match[1] is None and match[3] is None):
        raise ValueError(f"{quoted(text)} is not a duration; write 600, 10m, 2h30m or 1-12:00:00")
    fields = [int(part) for part in match.groups()[1:] if part is not None]
    if match[1] is not None:
        fields = [int(match[1]), *fields, 0, 0, 0][:4]
    weights = (_DAY, 3600, 60, 1)[-len(fields) :]
    return _bounded(text, sum(n * weight for n, weight in zip(fields, weights, strict=True)))


def _bounded(text: str, seconds: int) -> int:
    if seconds > MAX_SECONDS:
        raise ValueError(f"{quoted(text)} is out of range; the longest duration is 36500 days")
    return seconds


def format_duration(seconds: float) -> str:
    """``0:00``, ``12:34``, ``1:02:03`` or ``2-03:04:05``, as squeue writes times."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    if minutes < 60:
        return f"{minutes}:{second:02}"
    hours, minute = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}:{minute:02}:{second:02}"
    day, hour = divmod(hours, 24)
    return f"{day}-{hour:02}:{minute:02}:{second:02}"


def format_wait(seconds: float) -> str:
    """As :func:`format_duration`, for a time until something: rounded up, never negative."""
    return format_duration(math.ceil(max(0.0, seconds)))


def format_memory(mib: int) -> str:
    """``8G`` for whole GiB, else ``8000M``."""
    return f"{mib >> 10}G" if mib and not mib & 1023 else f"{mib}M"


def parse_indices(text: str) -> list[int]:
    """The numbers of ``0``, ``0,2`` or ``0-1,3``, in order, each once."""
    found: set[int] = set()
    for word in text.split(","):
        match = re.fullmatch(r"(?a)(\d{1,4})(?:-(\d{1,4}))?", word.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"{quoted(text)} names no GPUs; write 0, 0,2 or 0-1,3")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(found)


def parse_capability(text: str) -> tuple[int, int]:
    """(major, minor) of a CUDA compute capability, ``8.0`` or ``9``."""
    match = re.fullmatch(r"(?a)(\d{1,2})(?:\.(\d))?", text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is not a compute capability; write 8.0")
    return int(match[1]), int(match[2] or 0)


def format_capability(capability: tuple[int, int]) -> str:
    """``8.0`` for (8, 0)."""
    return f"{capability[0]}.{capability[1]}"


def visible(text: str) -> str:
    """``text`` with all that would act on a terminal or reorder a line (bidi) written out."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def quoted(text: str, limit: int = 60) -> str:
    """``text`` for an error message: visible, in quotes, cut after ``limit`` characters."""
    return f'"{visible(text[:limit])}{"..." if len(text) > limit else ""}"'
