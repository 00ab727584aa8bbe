"""What a submission runs: a command, or a script whose content is copied."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from mgpu.model.units import quoted

_BYTES = 768 << 10  # the scheduler refuses more, and says so
_SHEBANG = b"#!"


class Program(NamedTuple):
    """The words of a command; with a script those are its arguments."""

    words: tuple[str, ...]
    script: bytes | None = None
    name: str = ""


def program(words: Sequence[str], wrap: str | None, *, as_is: bool, script: bool) -> Program:
    """What ``words`` or ``wrap`` mean; ``as_is`` is a command whatever it looks like.

    With ``script`` nothing else is taken, and no words mean standard input, as ``-`` always does.
    """
    if wrap is not None:
        return _wrapped(words, wrap)
    if list(words[:1]) == ["-"] or (script and not words):
        return Program(tuple(words[1:]), _standard_input(), "stdin")
    content = _of_file(words[0]) if words and not as_is else None
    if content is not None:
        return Program(tuple(words[1:]), content, os.path.basename(words[0]))
    if script:
        raise click.UsageError(
            f"{quoted(words[0])} {_no_script(words[0])}; mgpu_srun runs commands"
        )
    return Program(tuple(words))


def words_of(values: dict[str, Any]) -> list[str]:
    """The words of a COMMAND, which are taken out of what click's parser found."""
    words = values.pop("command", ())
    return list(words) if isinstance(words, (list, tuple)) else []  # click may say "not given"


def _wrapped(words: Sequence[str], text: str) -> Program:
    if words:
        raise click.UsageError("--wrap and a COMMAND cannot be used together")
    return Program((), b"#!/bin/sh\n" + os.fsencode(text) + b"\n", "wrap")


def _standard_input() -> bytes:
    content = _rest(sys.stdin.fileno(), b"")
    if not content.startswith(_SHEBANG):
        raise click.UsageError("standard input is no script: it does not begin with #!")
    return content


def _of_file(path: str) -> bytes | None:
    """The content of a script; None for what is a command."""
    try:
        # Not blocking: the word may name a FIFO.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        begin = os.read(descriptor, len(_SHEBANG))
        return _rest(descriptor, begin) if begin == _SHEBANG else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _no_script(path: str) -> str:
    """Why there is no script at ``path``."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not os.access(path, os.R_OK):
        return "cannot be read: Permission denied"
    return "does not begin with #!" if stat.S_ISREG(mode) else "is no regular file"


def _rest(descriptor: int, begin: bytes) -> bytes:
    """``begin`` and what follows it, up to more than the scheduler takes."""
    chunks = [begin]
    while sum(map(len, chunks)) <= _BYTES:
        chunks.append(os.read(descriptor, _BYTES))
        if not chunks[-1]:
            break
    return b"".join(chunks)
