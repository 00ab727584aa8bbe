"""A real NVIDIA GPU under a real daemon: admission, outsiders, teardown, and what CUDA sees.

``scripts/test-gpu`` runs these. They want the first GPU for themselves.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pynvml
import pytest

from tests.lib import cuda
from tests.lib.daemon import Daemon
from tests.lib.users import ROOT, User, as_user
from tests.lib.waiting import eventually

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

#: MiB that a program takes; CUDA's context comes on top.
SIZE = 4096
LOADER = Path("/etc/ld.so.conf.d/mgpu-test-gpu.conf")
Make = Callable[..., Daemon]


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    """Keep the driver loaded, and its libraries where the loader finds them without variables."""
    for name in ("libnvidia-ml.so.1", "libcuda.so.1"):
        ctypes.CDLL(name)
    maps = Path("/proc/self/maps").read_text().splitlines()
    paths = [Path(line.split(maxsplit=5)[-1]) for line in maps if "/" in line]
    folders = {str(path.parent) for path in paths if "libnvidia-ml" in path.name}
    folders |= {str(path.parent) for path in paths if path.name.startswith("libcuda.so")}
    pynvml.nvmlInit()
    with ExitStack() as stack:
        stack.callback(pynvml.nvmlShutdown)
        if os.environ.get("LD_LIBRARY_PATH"):
            stack.callback(LOADER.unlink)
            LOADER.write_text("".join(f"{folder}\n" for folder in sorted(folders)))
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/cache/ldconfig"], check=False)
            subprocess.run(["ldconfig"], check=True)
        yield


@pytest.fixture
def real(make_daemon: Make) -> Make:
    """Start daemons on the real GPUs, with settings of ``[gpus]``."""

    def make(**gpus: object) -> Daemon:
        return make_daemon({"gpus": {"backend": "nvml", "poll_interval": 1, **gpus}})

    return make


def first(daemon: Daemon) -> dict[str, Any]:
    """The first GPU, as ``mgpu_info`` tells of it."""
    done = daemon.command(ROOT, ["mgpu_info", "--json"])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["gpus"][0]
    return found


def used(daemon: Daemon, least: int) -> dict[str, Any]:
    """The first GPU, as soon as so much of it is used."""
    return eventually(
        lambda: first(daemon), until=lambda gpu: gpu["used"] >= least, what="use", timeout=60
    )


def hold(daemon: Daemon, user: User, *options: str) -> int:
    """A job that takes memory of the first GPU and keeps it."""
    job = daemon.submit(user, "--gpu-ids", "0", *options, "--", *cuda.command(SIZE, "death"))
    daemon.wait_state(job, "RUNNING", timeout=60)
    eventually(lambda: "{" in daemon.output(user, job), what="an allocation", timeout=60)
    assert "gpus" in cuda.said(daemon.output(user, job)), daemon.output(user, job)
    return job


@pytest.mark.parametrize("isolation", ["detect", "enforce"])
def test_cuda_sees_exactly_the_gpus_of_the_job(real: Make, alice: User, isolation: str) -> None:
    try:
        daemon = real(isolation=isolation)
    except RuntimeError as error:
        if isolation == "enforce" and "cannot be had here" in str(error):
            pytest.skip("this machine has no cgroup by which GPUs could be fenced")
        raise
    job = daemon.submit(alice, "--gpu-ids", "0", "--", *cuda.command(0))
    daemon.wait_state(job, "COMPLETED", timeout=60)
    seen = cuda.said(daemon.output(alice, job))["gpus"]
    assert seen == [cuda.bare(first(daemon)["uuid"])]
    none = daemon.submit(alice, "--gpus", "0", "--", *cuda.command(0))
    daemon.wait_state(none, "COMPLETED", "FAILED", timeout=60)
    without = cuda.said(daemon.output(alice, none))
    assert not without.get("gpus"), "a job without GPUs sees none"


def test_what_a_job_really_uses_keeps_others_off(
    real: Make, alice: User, bob: User, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = real(over_memory_margin=0, over_memory_grace=1)
    big = hold(daemon, alice, "--mem", "1G")
    seen = used(daemon, SIZE)
    shown = daemon.command(ROOT, ["mgpu_info"]).stdout
    with capsys.disabled():
        print(f"\n{shown}")
    rest = seen["total"] - SIZE  # fits beside what was asked for, and not beside what is used
    waits = daemon.submit(bob, "--gpu-ids", "0", "--mem", f"{rest}M", "--", "true")
    eventually(lambda: daemon.job(waits)["detail"], what="a reason")
    assert daemon.job(waits)["state"] == "PENDING"
    if {row[0]: row[5] for row in seen["jobs"]}[big] is not None:  # the driver tells of it
        eventually(lambda: "asked for 1024" in daemon.job(big)["note"], timeout=30)
    daemon.cancel(alice, str(big))
    daemon.wait_state(waits, "COMPLETED", timeout=60)


@pytest.fixture
def outsider(alice: User) -> Iterator[subprocess.Popen[bytes]]:
    """A process of alice's that uses the first GPU, of which mgpu knows nothing."""
    line = as_user(alice, cuda.command(SIZE, "the end"))
    variables = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, env=variables, cwd="/") as process:
        assert process.stdout is not None
        assert "gpus" in cuda.said(process.stdout.readline().decode())
        yield process


def test_an_outsider_keeps_off_who_wants_the_gpu_alone(
    real: Make, alice: User, bob: User, carol: User, outsider: subprocess.Popen[bytes]
) -> None:
    daemon = real()
    assert used(daemon, SIZE)["outside"] >= SIZE
    waits = daemon.submit(bob, "--gpu-ids", "0", "--", "true")
    eventually(lambda: "outside mgpu" in daemon.job(waits)["detail"], what="a reason")
    shares = daemon.submit(bob, "--gpu-ids", "0", "--mem", "1G", "--", "true")
    daemon.wait_state(shares, "COMPLETED", timeout=60)
    listed = json.loads(daemon.command(carol, ["mgpu_ctl", "gpu", "list", "--json"]).stdout)
    theirs = [one for one in listed["processes"] if one["uid"] == alice.uid]
    if not theirs:  # the driver does not tell who it is: see what ends it then
        outsider.communicate()
    else:
        assert theirs[0]["pid"] == outsider.pid
        assert theirs[0]["memory"] == -1 or theirs[0]["memory"] >= SIZE
        daemon.command(carol, ["mgpu_ctl", "gpu", "ignore", str(outsider.pid)])
    daemon.wait_state(waits, "COMPLETED", timeout=60)


def test_a_gpu_is_given_on_when_it_is_clean(real: Make, alice: User, bob: User) -> None:
    daemon = real()
    before = first(daemon)["used"]
    job = hold(daemon, alice)
    waits = daemon.submit(bob, "--gpu-ids", "0", "--", "sleep", "600")
    daemon.cancel(alice, "--signal", "KILL", str(job))
    daemon.wait_state(waits, "RUNNING", timeout=60)
    after = first(daemon)
    assert (after["state"], after["outsiders"]) == ("available", [])
    assert after["used"] <= before + 64
    assert "action=gpu-dirty" not in daemon.log()
