"""Our activation against conda's own and rattler's, on the same hand-made environments."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mgpu.privileged import conda
from mgpu.privileged.job import _SOURCE
from mgpu.privileged.probe import Probe

CONDA = """
import importlib.util, os, sys
lock = os.path.dirname(importlib.util.find_spec("conda_lock").origin)
sys.path.insert(0, os.path.join(lock, "_vendor"))
os.environ.setdefault("CONDA_NO_PLUGINS", "1")
import conda.activate
print(conda.activate.activator_map["posix"](["activate", sys.argv[1]]).execute())
"""
RATTLER = """
import os, pathlib, sys
from rattler.shell import ActivationVariables, PathModificationBehavior, Shell, activate
path = os.environ["PATH"].split(":")
prefix = pathlib.Path(os.environ["CONDA_PREFIX"]) if "CONDA_PREFIX" in os.environ else None
variables = ActivationVariables(prefix, path, PathModificationBehavior.Prepend)
print(activate(pathlib.Path(sys.argv[1]), variables, Shell.bash).script)
"""
#: What shells add, what only prompts use, and what points at the activator itself.
OWN = {"_", "PWD", "OLDPWD", "SHLVL", "PS1", "CONDA_EXE", "CONDA_PYTHON_EXE", "CONDA_NO_PLUGINS"}
OWN |= {"_CE_CONDA", "_CE_M", "_CONDA_EXE", "_CONDA_ROOT"}
#: rattler knows no names of environments and no stack of them.
NAMES = {"CONDA_DEFAULT_ENV", "CONDA_PROMPT_MODIFIER", "CONDA_PREFIX_1", "CONDA_SHLVL"}
START = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "GONE": "1"}


def make(prefix: Path, **variables: str) -> Path:
    for folder in ("bin", "conda-meta", "etc/conda/activate.d", "etc/conda/deactivate.d"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "conda-meta/history").write_text("")
    pairs = ", ".join(f'"{name}": "{value}"' for name, value in variables.items())
    (prefix / "conda-meta/state").write_text(f'{{"version": 1, "env_vars": {{{pairs}}}}}')
    for which in ("activate", "deactivate"):
        for number in (2, 1):
            line = f'export SAID="${{SAID:-}}{which}-{prefix.name}-{number};"\n'
            (prefix / f"etc/conda/{which}.d/{number}.sh").write_text(line)
    return prefix


def environment_after(shell: str, env: dict[str, str]) -> dict[str, str]:
    """What is exported when bash has executed ``shell``."""
    command = ["bash", "--norc", "-c", f"{shell}\nexec env -0"]
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    return parse(done.stdout)


def parse(listing: bytes) -> dict[str, str]:
    """The output of ``env -0``, without repeated folders and the activator's own in PATH."""
    pairs = (entry.partition(b"=") for entry in listing.split(b"\0") if entry)
    env = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    folders = dict.fromkeys(env["PATH"].split(":"))
    env["PATH"] = ":".join(folder for folder in folders if not folder.endswith("/condabin"))
    return env


def theirs(module: str, program: str, prefix: Path, env: dict[str, str]) -> dict[str, str]:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    command = [sys.executable, "-W", "ignore", "-c", program, str(prefix)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return environment_after(done.stdout, env)


def ours(prefix: Path, env: dict[str, str]) -> dict[str, str]:
    before = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    change = conda.activate(os.fsencode(prefix), before, Probe())
    count = b"%d" % len(change.scripts)
    argv = [b"bash", b"-c", _SOURCE, b"mgpu", count, *change.scripts, b"env", b"-0"]
    done = subprocess.run(argv, env=before | change.set, capture_output=True, check=True)
    return parse(done.stdout)


def without(env: dict[str, str], names: set[str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in names}


@pytest.mark.parametrize("name", ["ml", "my env; exit 3"])
def test_like_conda(tmp_path: Path, name: str) -> None:
    prefix = make(tmp_path / "envs" / name, MY_VAR="some value", GONE="***unset***")
    wanted = without(theirs("conda_lock", CONDA, prefix, START), OWN)
    assert without(ours(prefix, START), OWN) == wanted
    assert wanted["MY_VAR"] == "some value"


def test_like_conda_after_another(tmp_path: Path) -> None:
    first = make(tmp_path / "envs/first", ONLY_FIRST="1", BOTH="1")
    second = make(tmp_path / "envs/second", BOTH="2")
    active = theirs("conda_lock", CONDA, first, START)
    active["PATH"] = "/before:" + active["PATH"]
    wanted = without(theirs("conda_lock", CONDA, second, active), OWN)
    assert without(ours(second, active), OWN) == wanted
    assert wanted["BOTH"] == "2"
    assert "deactivate-first-2;deactivate-first-1;activate-second-1" in wanted["SAID"]


def test_like_rattler(tmp_path: Path) -> None:
    prefix = make(tmp_path / "envs/ml", MY_VAR="some value")
    wanted = without(theirs("rattler", RATTLER, prefix, START), OWN | NAMES)
    assert without(ours(prefix, START), OWN | NAMES) == wanted
    assert wanted["CONDA_PREFIX"] == str(prefix)
