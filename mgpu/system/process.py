"""Processes that run a function of mgpu: how they are started, tied and told what holds."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any, Final

import msgpack

from mgpu.system.log import log

_SET_PDEATHSIG: Final = 1


def command(module: str, call: str) -> list[str]:
    """The interpreter and a program that makes ``call``, to a function of ``module``.

    It finds its modules where this process does, and takes nothing from its surroundings.
    """
    path = [folder for folder in sys.path if folder.startswith("/")]
    function = call.partition("(")[0]
    program = f"import sys; sys.path[:] = {path!r}; from {module} import {function}; {call}"
    return [sys.executable, "-I", "-S", "-c", program]


def end_with(parent: int) -> None:
    """Be killed when ``parent``, which has started this process, ends; exit where it has ended."""
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        sys.exit(1)


def settings_in(fd: int) -> dict[str, Any]:
    """The settings in a file of whoever has started this process, which is closed.

    Lines of the log are written as they say from now on.
    """
    with open(fd, "rb") as file:
        file.seek(0)
        settings: dict[str, Any] = msgpack.unpackb(file.read())
    log.configure(settings["log.level"], settings["log.format"], os.environ)
    return settings
