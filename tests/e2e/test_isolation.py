"""With ``gpus.isolation = "enforce"`` a job can open the nodes of its own GPUs alone.

Nodes without a driver stand in for GPUs: to open one gives ENXIO where that is allowed.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mgpu.privileged.devices import MAJOR
from tests.lib.daemon import Daemon
from tests.lib.fakenvml import instance
from tests.lib.stubbox import Box
from tests.lib.users import User
from tests.lib.waiting import eventually

NODES = Path("/run/test-nodes")
PROBE = f"""
import os
for name in sorted(os.listdir("{NODES}")):
    try:
        os.open("{NODES}/" + name, os.O_RDWR)
    except OSError as error:
        print(name, os.strerror(error.errno))
print("CUDA", os.environ["CUDA_VISIBLE_DEVICES"], "GPUs", os.environ["MGPU_GPU_IDS"])
"""
ALLOWED, REFUSED = "No such device or address", "Operation not permitted"


@pytest.fixture
def enforcing(make_daemon: Callable[..., Daemon]) -> Iterator[Daemon]:
    with stand_ins({f"nvidia{minor}": (MAJOR, minor) for minor in (0, 1, 255)}):
        yield make_daemon(config={"gpus": {"isolation": "enforce"}})


@contextmanager
def stand_ins(nodes: dict[str, tuple[int, int]]) -> Iterator[None]:
    """Character devices with these names, majors and minors."""
    NODES.mkdir()
    for name, device in nodes.items():
        node = NODES / name
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(*device))
        node.chmod(0o666)
    yield
    for node in NODES.iterdir():
        node.unlink()
    NODES.rmdir()


def seen(daemon: Daemon, user: User, *options: str) -> list[str]:
    """What a job prints of the nodes; in a new session, by a child of a child."""
    line = ["setsid", "--fork", "--wait", "/usr/bin/python3", "-c", PROBE]
    job = daemon.submit(user, *options, "--", *line)
    daemon.wait_state(job, "COMPLETED")
    return daemon.output(user, job).splitlines()[1:]


def test_a_job_opens_its_own_gpu_and_no_other(enforcing: Daemon, alice: User) -> None:
    assert seen(enforcing, alice, "--gpu-ids", "1", "--gpus", "1") == [
        f"nvidia0 {REFUSED}",
        f"nvidia1 {ALLOWED}",
        f"nvidia255 {ALLOWED}",
        "CUDA 0 GPUs 1",
    ]


def test_a_job_without_gpus_opens_none(enforcing: Daemon, alice: User) -> None:
    assert seen(enforcing, alice, "--gpus", "0")[:2] == [f"nvidia0 {REFUSED}", f"nvidia1 {REFUSED}"]


def test_a_job_stays_fenced_while_the_daemon_is_restarted(enforcing: Daemon, alice: User) -> None:
    flag = alice.home / "flag-of-isolation"
    wait = (
        f"while [ ! -e {flag} ]; do read -t 0.02 <> <(:); done; exec /usr/bin/python3 -c '{PROBE}'"
    )
    job = enforcing.submit(alice, "--gpus", "1", "--", "bash", "-c", wait)
    enforcing.wait_state(job, "RUNNING")
    enforcing.kill9()
    enforcing.start()
    flag.touch()
    enforcing.wait_state(job, "COMPLETED")
    assert f"nvidia1 {REFUSED}" in enforcing.output(alice, job)


# ------------------------------------------------------------ instances of a card

CAPABILITIES = 500  # a major that no driver has here
CARD = (("MIG-a", 1), ("MIG-b", 2))
MINORS = """config 1
monitor 2
gpu0/gi1/access 12
gpu0/gi1/ci0/access 13
gpu0/gi2/access 21
gpu0/gi2/ci0/access 22
"""


@pytest.fixture
def capabilities() -> Iterator[None]:
    """What NVIDIA's driver says in /proc of the nodes of instances, and such nodes."""
    devices = Path("/run/test-devices")
    own = f"{CAPABILITIES} nvidia-caps\n\nBlock devices:"
    devices.write_text(Path("/proc/devices").read_text().replace("\nBlock devices:", own))
    subprocess.run(["mount", "--bind", devices, "/proc/devices"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/proc/driver"], check=True)
    listed = Path("/proc/driver/nvidia-caps/mig-minors")
    listed.parent.mkdir()
    listed.write_text(MINORS)
    nodes = {f"nvidia-cap{minor}": (CAPABILITIES, minor) for minor in (1, 2, 12, 13, 21, 22)}
    with stand_ins({"nvidia0": (MAJOR, 0), "nvidia1": (MAJOR, 1)} | nodes):
        yield
    subprocess.run(["umount", "/proc/driver", "/proc/devices"], check=True)
    devices.unlink()


@pytest.fixture
def instances(capabilities: None, make_box: Callable[..., Box], alice: User) -> Daemon:
    """A daemon that keeps two instances of one card apart."""
    box = make_box(isolation="enforce")
    parts = [instance(0, uuid, number, 4864, 0, "A100 MIG 1g.5gb") for uuid, number in CARD]
    box.show(more="\n".join(parts))
    eventually(lambda: "MIG-b" in box.daemon.command(alice, ["mgpu_info", "--json"]).stdout)
    return box.daemon


def test_a_job_opens_its_own_instance_and_no_other_of_the_card(
    instances: Daemon, alice: User
) -> None:
    low = [f"nvidia-cap{minor} {ALLOWED}" for minor in (1, 2)]
    first = [f"nvidia-cap{minor} {ALLOWED}" for minor in (12, 13)]
    not_first = [line.replace(ALLOWED, REFUSED) for line in first]
    second = [f"nvidia-cap{minor} {ALLOWED}" for minor in (21, 22)]
    not_second = [line.replace(ALLOWED, REFUSED) for line in second]

    def nodes(*options: str) -> list[str]:
        return sorted(seen(instances, alice, *options))

    mine = [f"nvidia0 {ALLOWED}", f"nvidia1 {REFUSED}"]
    assert nodes("--gpu-ids", "0") == sorted(
        ["CUDA MIG-a GPUs 0", *low, *first, *not_second, *mine]
    )
    assert nodes("--gpu-ids", "1") == sorted(
        ["CUDA MIG-b GPUs 1", *low, *not_first, *second, *mine]
    )
    none = [f"nvidia0 {REFUSED}", f"nvidia1 {REFUSED}"]
    assert nodes("--gpus", "0") == sorted(["CUDA  GPUs ", *low, *not_first, *not_second, *none])


def test_an_instance_whose_nodes_are_not_told_is_not_given_unfenced(
    instances: Daemon, alice: User
) -> None:
    Path("/proc/driver/nvidia-caps/mig-minors").write_text("")
    instances.restart()
    job = instances.submit(alice, "--gpu-ids", "0", "--", "true")
    ended = instances.wait_state(job, "LAUNCH_FAILED")
    assert "the driver does not tell the device nodes" in ended["detail"]
