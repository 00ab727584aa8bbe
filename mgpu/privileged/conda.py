"""conda environments: where one is by its name, and what conda's own activator would change.

Nothing of conda is run. Its variables are set here; the scripts of ``activate.d`` are sourced by
bash in the job itself.
"""

from __future__ import annotations

import json
import os.path

from mgpu.privileged.environment import valid_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mgpu.privileged.environment import Environment
    from mgpu.privileged.probe import Probe

_ROOTS = (b"miniconda3", b"anaconda3", b"miniforge3", b"mambaforge", b"micromamba")
_UNSET = "***unset***"


class Change:
    """What activating an environment changes: variables to set, then scripts to source."""

    __slots__ = ("scripts", "set")

    def __init__(self, variables: Environment, scripts: tuple[bytes, ...]) -> None:
        self.set = variables
        self.scripts = scripts


def is_env(prefix: bytes, probe: Probe) -> bool:
    """Whether ``prefix`` is a conda environment."""
    return probe.is_dir(os.path.join(prefix, b"conda-meta"))


def find(name: bytes, env: Environment, home: bytes, cwd: bytes, probe: Probe) -> bytes | None:
    """The prefix of the environment ``name``: a path if it has a slash, else searched for."""
    if b"/" in name:
        prefix = os.path.normpath(os.path.join(cwd, name))
        return prefix if is_env(prefix, probe) else None
    if name in (b"", b".", b".."):
        return None
    for prefix in _candidates(name, env, home, probe):
        if is_env(prefix, probe):
            return prefix
    return None


def _candidates(name: bytes, env: Environment, home: bytes, probe: Probe) -> Iterator[bytes]:
    roots = list(_roots(env, home))
    if name == b"base":
        yield from roots
        return
    for folder in env.get(b"CONDA_ENVS_PATH", b"").split(b":"):
        if folder:
            yield os.path.join(folder, name)
    yield from (os.path.join(root, b"envs", name) for root in roots[: -len(_ROOTS)])
    for line in probe.read(os.path.join(home, b".conda/environments.txt")).splitlines():
        if os.path.basename(line.strip().rstrip(b"/")) == name:
            yield line.strip().rstrip(b"/")
    yield os.path.join(home, b".conda/envs", name)
    yield from (os.path.join(home, root, b"envs", name) for root in _ROOTS)


def _roots(env: Environment, home: bytes) -> Iterator[bytes]:
    """Installations: those the environment knows, then the usual places in the home."""
    root = env.get(b"MAMBA_ROOT_PREFIX", b"")
    if root:
        yield root
    program = env.get(b"CONDA_EXE", b"")
    if program:
        yield os.path.dirname(os.path.dirname(program))
    prefix = env.get(b"CONDA_PREFIX", b"")
    if prefix:
        parent = os.path.dirname(prefix)
        yield os.path.dirname(parent) if os.path.basename(parent) == b"envs" else prefix
    yield from (os.path.join(home, name) for name in _ROOTS)


def _default_name(prefix: bytes) -> bytes:
    """What conda calls an environment: its name if it lies in an ``envs`` folder, else its path."""
    parent, name = os.path.split(prefix)
    return name if os.path.basename(parent) == b"envs" else prefix


def activate(prefix: bytes, env: Environment, probe: Probe) -> Change:
    """``conda activate PREFIX`` from the state that ``env`` describes."""
    old, level = env.get(b"CONDA_PREFIX", b""), _level(env)
    name = b"base" if prefix in set(_roots(env, b"/nonexistent")) else _default_name(prefix)
    variables = {
        b"PATH": path_with(prefix, old if level else b"", env.get(b"PATH", b"")),
        b"CONDA_PREFIX": prefix,
        b"CONDA_SHLVL": b"%d" % (level if old == prefix and level else level + 1),
        b"CONDA_DEFAULT_ENV": name,
        b"CONDA_PROMPT_MODIFIER": b"(" + name + b") ",
    }
    if level and old != prefix:
        variables[b"CONDA_PREFIX_%d" % level] = old
    own = _variables_of(prefix, probe)
    if not (level and old == prefix):  # kept for ``conda deactivate``
        saved = {b"__CONDA_SHLVL_%d_%s" % (level, key): env[key] for key in own if key in env}
        variables |= saved
    left = _scripts(old, b"deactivate", probe) if level else ()
    return Change(variables | own, left + _scripts(prefix, b"activate", probe))


def _level(env: Environment) -> int:
    """How many environments are active; conda's own reading of CONDA_SHLVL."""
    level = env.get(b"CONDA_SHLVL", b"").strip()
    known = level.isdigit() and env.get(b"CONDA_PREFIX")
    return int(level[:4]) if known else 0


def path_with(prefix: bytes, old: bytes, path: bytes) -> bytes:
    """``path`` with the folder of ``prefix`` in the place of ``old``'s, or in front."""
    folder, gone = os.path.join(prefix, b"bin"), os.path.join(old, b"bin")
    folders = [entry for entry in path.split(b":") if entry]
    if old and gone in folders:
        place = folders.index(gone)
        rest = [entry for entry in folders[place:] if entry not in (gone, folder)]
        return b":".join([*folders[:place], folder, *rest])
    return b":".join([folder, *(entry for entry in folders if entry != folder)])


def _variables_of(prefix: bytes, probe: Probe) -> Environment:
    """The environment's own variables: of its packages, then of ``conda env config vars``."""
    found: dict[str, object] = {}
    packages = os.path.join(prefix, b"etc/conda/env_vars.d")
    for path in (os.path.join(packages, name) for name in sorted(probe.names(packages))):
        if path.endswith(b".json"):
            found |= _object(_json(path, probe))
    state = _object(_json(os.path.join(prefix, b"conda-meta/state"), probe))
    found |= _object(state.get("env_vars"))
    texts = {key.upper(): value for key, value in found.items() if isinstance(value, str)}
    own = {_bytes(key): _bytes(value) for key, value in texts.items() if value != _UNSET}
    return {key: value for key, value in own.items() if valid_name(key) and b"\0" not in value}


def _json(path: bytes, probe: Probe) -> Any:
    try:
        return json.loads(probe.read(path) or b"{}")
    except (ValueError, RecursionError):
        return {}


def _object(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _scripts(prefix: bytes, which: bytes, probe: Probe) -> tuple[bytes, ...]:
    """The scripts to source, in conda's order: leaving undoes in reverse."""
    folder = os.path.join(prefix, b"etc/conda", which + b".d")
    names = sorted(name for name in probe.names(folder) if name.endswith(b".sh"))
    if which == b"deactivate":
        names.reverse()
    return tuple(os.path.join(folder, name) for name in names)
