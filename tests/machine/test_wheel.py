"""The wheel and the source distribution: what pip and pipx give to a user."""

from __future__ import annotations

import subprocess

import pytest

from tests.lib.docs import ROOT
from tests.lib.machine import Machine, wheels

pytestmark = pytest.mark.slow

#: There is no network in the machine: pip takes what it needs from a folder.
OFFLINE = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/opt/wheels PIP_DISABLE_PIP_VERSION_CHECK=1;"
#: Submits, waits and tells, as a program of a user's does.
PROGRAM = """
import mgpu
with mgpu.Client() as client:
    job = client.submit(["sh", "-c", "exit 5"], gpus=1, gpu_mem="1G")
    print(client.wait(job)[job].code)
"""


@pytest.fixture(scope="module")
def supplied(machine: Machine) -> Machine:
    """The machine on which mgpu serves, with what pip needs."""
    done = subprocess.run(
        [ROOT / "scripts/build", "wheel", "sdist"], check=True, capture_output=True, text=True
    )
    built = [ROOT / line for line in done.stdout.splitlines() if line.startswith("dist/")]
    for file in (*built, *wheels().iterdir()):
        machine.put(file, f"/opt/wheels/{file.name}")
    return machine


def test_pipx_gives_a_user_the_commands(supplied: Machine) -> None:
    supplied.as_user("alice", f"{OFFLINE} python3 -m venv own && own/bin/pip install -q pipx")
    supplied.as_user("alice", f"{OFFLINE} own/bin/pipx install /opt/wheels/mgpu-*.whl")
    commands = "~/.local/bin/mgpu_srun --version; ~/.local/bin/mgpu_queue --help"
    assert "Usage: mgpu_queue" in supplied.as_user("alice", commands)
    script = "~/.local/bin/mgpu_srun --wait --gpus 1 -- sh -c 'exit 3'"
    assert supplied.run("runuser", "-l", "alice", "-c", script).returncode == 3
    done = supplied.run("runuser", "-l", "alice", "-c", "~/.local/bin/mgpud")
    assert (done.returncode, "must be started by root" in done.stderr) == (1, True)


def test_pip_gives_a_user_the_python_api(supplied: Machine) -> None:
    supplied.as_user("bob", "python3 -m venv own")
    supplied.as_user("bob", f"{OFFLINE} own/bin/pip install -q /opt/wheels/mgpu-*.tar.gz")
    supplied.as_user("bob", f"printf %s '{PROGRAM}' > program.py")
    assert supplied.as_user("bob", "own/bin/python program.py") == "5\n"
