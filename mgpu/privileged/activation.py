"""Which Python environment a job gets, and what activating it means. Pure over a ``Probe``.

The rules: the one asked for; else the one active at submission; else the nearest ``.venv`` or
``venv`` from the working directory up to the home; else ``~/venv`` or ``~/.venv``. One that is
merely found must belong to the user (or root): a ``/tmp/.venv`` of somebody else is not taken.
"""

from __future__ import annotations

import errno
import os.path

from mgpu.privileged import conda
from mgpu.privileged.refusal import Refusal, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mgpu.privileged.environment import Environment
    from mgpu.privileged.probe import Probe

_NAMES = (b".venv", b"venv")


class Activation:
    """What to change: variables to set and to unset, scripts to source in bash, and its name."""

    __slots__ = ("label", "scripts", "set", "unset")

    def __init__(
        self,
        label: str,
        variables: Environment | None = None,
        unset: tuple[bytes, ...] = (),
        scripts: tuple[bytes, ...] = (),
    ) -> None:
        self.label = label
        self.set = variables or {}
        self.unset = unset
        self.scripts = scripts

    def apply(self, env: Environment) -> None:
        """Change ``env`` accordingly."""
        for name in self.unset:
            env.pop(name, None)
        env.update(self.set)


class Place:
    """Where and for whom an environment is looked for."""

    __slots__ = ("cwd", "env", "home", "uid")

    def __init__(self, env: Environment, cwd: bytes, home: bytes, uid: int) -> None:
        self.env = env
        self.cwd = cwd
        self.home = home
        self.uid = uid


def choose(mode: str, path: bytes, place: Place, probe: Probe) -> Activation:
    """The activation that the rules give; ``Refusal`` when one was asked for and is not there."""
    if mode == "none":
        return Activation("none (not wanted)")
    if mode == "venv":
        return _asked_venv(os.path.join(place.cwd, path), place, probe)
    if mode == "conda":
        return _asked_conda(path, place, probe)
    return _active(place, probe) or _found(place, probe) or Activation("none (none found)")


def _asked_venv(path: bytes, place: Place, probe: Probe) -> Activation:
    if not _is_venv(path, probe):
        raise Refusal("activate", errno.ENOENT, f"{shown(path)} is no virtual environment")
    return _activate_venv(os.path.normpath(path), place.env, "as asked")


def _asked_conda(name: bytes, place: Place, probe: Probe) -> Activation:
    prefix = conda.find(name, place.env, place.home, place.cwd, probe)
    if prefix is None:
        raise Refusal("activate", errno.ENOENT, f"no conda environment {shown(name)} found")
    change = conda.activate(prefix, place.env, probe)
    label = f"conda environment {shown(prefix)} (as asked)"
    return Activation(label, change.set, scripts=change.scripts)


def _active(place: Place, probe: Probe) -> Activation | None:
    """The one that was active at submission: its variables are in the environment already."""
    venv = place.env.get(b"VIRTUAL_ENV", b"")
    if venv and _is_venv(venv, probe):
        return _activate_venv(venv, place.env, "active at submission")
    prefix = place.env.get(b"CONDA_PREFIX", b"")
    if not prefix or not conda.is_env(prefix, probe):
        return None
    label = f"conda environment {shown(prefix)} (active at submission)"
    path = conda.path_with(prefix, prefix, place.env.get(b"PATH", b""))
    return Activation(label, {b"PATH": path})


def _found(place: Place, probe: Probe) -> Activation | None:
    for candidate in _candidates(place.cwd, place.home):
        if probe.owner(candidate) in (place.uid, 0) and _is_venv(candidate, probe):
            return _activate_venv(candidate, place.env, "found")
    return None


def _candidates(cwd: bytes, home: bytes) -> Iterator[bytes]:
    """``.venv`` and ``venv`` from ``cwd`` up to ``home`` (or below the root), then the home's."""
    folder = os.path.normpath(cwd)
    while folder not in (b"/", home, b""):
        yield from (os.path.join(folder, name) for name in _NAMES)
        folder = os.path.dirname(folder)
    names = _NAMES if folder == home and home != b"/" else tuple(reversed(_NAMES))
    yield from (os.path.join(home, name) for name in names)


def _is_venv(path: bytes, probe: Probe) -> bool:
    """Whether ``path`` is a virtual environment with an interpreter."""
    config, python = os.path.join(path, b"pyvenv.cfg"), os.path.join(path, b"bin/python")
    return probe.is_file(config) and probe.is_file(python)


def _activate_venv(path: bytes, env: Environment, why: str) -> Activation:
    """What its ``bin/activate`` does: PATH, VIRTUAL_ENV, and no PYTHONHOME."""
    old = env.get(b"VIRTUAL_ENV", b"")
    folders = [folder for folder in env.get(b"PATH", b"").split(b":") if folder]
    gone = {os.path.join(path, b"bin"), os.path.join(old or path, b"bin")}
    rest = [folder for folder in folders if folder not in gone]
    variables = {
        b"PATH": b":".join([os.path.join(path, b"bin"), *rest]),
        b"VIRTUAL_ENV": path,
        b"VIRTUAL_ENV_PROMPT": b"(" + os.path.basename(path) + b") ",
    }
    if old == path and b"VIRTUAL_ENV_PROMPT" in env:
        del variables[b"VIRTUAL_ENV_PROMPT"]
    return Activation(f"venv {shown(path)} ({why})", variables, (b"PYTHONHOME",))
