"""With ``gpus.isolation = "enforce"`` a job can open the nodes of its own GPUs alone.

Nodes without a driver stand in for GPUs: to open one gives ENXIO where that is allowed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mgpu.privileged.devices import MAJOR
from tests.lib.daemon import Daemon
from tests.lib.users import User

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
    NODES.mkdir()
    for minor in (0, 1, 255):
        node = NODES / f"nvidia{minor}"
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(MAJOR, minor))
        node.chmod(0o666)
    yield make_daemon(config={"gpus": {"isolation": "enforce"}})
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
