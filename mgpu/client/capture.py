"""What a job takes over from the process that submits it: environment, folder, umask, limits."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

from mgpu.model.errors import MgpuError

_RESOURCES = range(16)  # RLIM_NLIMITS, the same on all Linux
_INT64_MAX = (1 << 63) - 1


def environment(export: str = "ALL") -> list[bytes]:
    """``NAME=value`` of the variables that ``export`` names: ALL, NONE, ``NAME``, ``NAME=value``.

    Several are joined by commas; later ones win. Exported shell functions and other entries whose
    name is no identifier are left out.
    """
    chosen: dict[str, str] = {}
    for item in filter(None, export.split(",")):
        name, equals, value = item.partition("=")
        if equals:
            chosen[_identifier(name)] = value
        elif item.upper() == "ALL":
            chosen.update(os.environ)
        elif item.upper() != "NONE" and _identifier(name) in os.environ:
            chosen[name] = os.environ[name]
    return encoded(chosen)


def encoded(variables: Mapping[str, str]) -> list[bytes]:
    """The variables that a job can be given, as the bytes that ``execve`` takes."""
    names = [name for name in variables if name.isascii() and name.isidentifier()]
    return [os.fsencode(f"{name}={variables[name]}") for name in names]


def _identifier(name: str) -> str:
    if not (name.isascii() and name.isidentifier()):
        message = f"{name!a} is not the name of a variable"
        raise MgpuError("BadRequest", message, path="export")
    return name


def surroundings(cwd: str | bytes | None = None) -> dict[str, object]:
    """The fields ``cwd``, ``umask`` and ``rlimits`` of a job's description."""
    return {"cwd": folder(cwd), "umask": umask(), "rlimits": rlimits()}


def folder(chosen: str | bytes | None = None) -> bytes:
    """``chosen`` made absolute, or the current folder."""
    path = os.fsencode(chosen or b".")
    if path.startswith(b"/"):
        return path
    try:
        here = os.getcwdb()
    except FileNotFoundError:
        message = "the current folder does not exist any more"
        raise MgpuError("BadRequest", message, hint="cd to one that does, or use --chdir") from None
    return here if path == b"." else os.path.join(here, path)


def umask() -> int:
    """The umask, read without changing it even for a moment."""
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line[6:], 8)
    return 0o022


def rlimits() -> list[list[int]]:
    """``[resource, soft, hard]`` of every resource limit; -1 is infinity."""
    rows = ([number, *resource.getrlimit(number)] for number in _RESOURCES)
    return [[value if value <= _INT64_MAX else -1 for value in row] for row in rows]


def activation(
    venv: str | None = None, conda_env: str | None = None, *, activate: bool = True
) -> dict[str, object]:
    """The Python environment for the job: the named one, else the active one, else a search."""
    if not activate:
        return {"mode": "none", "path": b""}
    if venv:
        return {"mode": "venv", "path": folder(venv)}
    if conda_env:
        path = folder(conda_env) if "/" in conda_env else os.fsencode(conda_env)
        return {"mode": "conda", "path": path}
    for mode, variable in (("venv", "VIRTUAL_ENV"), ("conda", "CONDA_PREFIX")):
        prefix = os.environb.get(variable.encode(), b"")
        if prefix.startswith(b"/"):
            return {"mode": mode, "path": prefix}
    return {"mode": "auto", "path": b""}
