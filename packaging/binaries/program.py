"""The one program of ``scripts/build binaries``; its name says which of mgpu's commands it is.

The daemon starts further interpreters as ``python -I -S -c CODE ARGUMENT...``. A frozen program has
no interpreter beside it, so it plays that part itself. Nothing else reads those options.
"""

from __future__ import annotations

import importlib
import os
import sys

_DAEMON = ("mgpud", "mgpu_scheduler_server")


def module_of(name: str) -> str:
    """The module that has the command ``name``."""
    if name in _DAEMON:
        return "mgpu.cli.mgpud"
    return f"mgpu.cli.{name.removeprefix('mgpu').removeprefix('_') or 'main'}"


def interpret() -> None:
    """Do what ``python -I [-S] -c CODE ARGUMENT...`` does."""
    at = sys.argv.index("-c")
    code, sys.argv = sys.argv[at + 1], ["-c", *sys.argv[at + 2 :]]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - see above


def main() -> None:
    """Be the command that the name of the program says."""
    if sys.argv[1:2] == ["-I"]:
        interpret()
        return
    sys.exit(importlib.import_module(module_of(os.path.basename(sys.argv[0]))).main())


main()
