"""Processes that this one starts to run a function of mgpu."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

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
