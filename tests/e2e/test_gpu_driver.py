"""A driver that hangs, loses a GPU or is replaced, under a daemon with running jobs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.lib.daemon import Daemon
from tests.lib.fakenvml import GPU_IS_LOST, VERSION_MISMATCH, build, fail, hang, xid
from tests.lib.stubbox import FOLDER, UUIDS, Box
from tests.lib.users import User
from tests.lib.waiting import eventually

LONG = ("--", "sleep", "600")


def gpus(daemon: Daemon, user: User) -> list[dict[str, Any]]:
    """What mgpu_ctl show-gpus knows, which must not take longer than a second."""
    begin = time.monotonic()
    done = daemon.command(user, ["mgpu_ctl", "show-gpus", "--json"])
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begin < 1
    found: list[dict[str, Any]] = json.loads(done.stdout)["gpus"]
    return found


def states(daemon: Daemon, user: User) -> list[str]:
    return [row["state"] for row in gpus(daemon, user)]


def become(daemon: Daemon, user: User, *wanted: str) -> None:
    """Wait until the GPUs are in these states, for as long as is promised."""
    eventually(lambda: states(daemon, user), until=lambda seen: seen == [*wanted], timeout=30)


@pytest.mark.slow
def test_a_gpu_whose_driver_call_hangs_goes_alone_and_the_rest_schedule(
    make_box: Callable[..., Box], alice: User
) -> None:
    box = make_box(poll_interval=5)
    daemon = box.daemon
    job = daemon.submit(alice, "--gpu-ids", "0", *LONG)
    daemon.wait_state(job, "RUNNING")
    box.show(more=hang("DeviceGetUtilizationRates", 0))
    become(daemon, alice, "unknown", "available")
    row = gpus(daemon, alice)[0]
    assert (row["uuid"], row["note"]) == (
        UUIDS[0],
        "the GPU driver does not answer when asked about it (nvmlDeviceGetUtilizationRates)",
    )
    assert daemon.wait_state(daemon.submit(alice, *LONG), "RUNNING")["gpu_ids"] == [1]
    assert daemon.job(job)["state"] == "RUNNING"
    assert daemon.log().count("action=gpu-hangs") == 1


def test_a_gpu_that_falls_off_the_bus_is_drained_and_the_rest_schedule(
    make_box: Callable[..., Box], alice: User
) -> None:
    box = make_box()
    daemon = box.daemon
    job = daemon.submit(alice, "--gpu-ids", "0", *LONG)
    daemon.wait_state(job, "RUNNING")
    off = "\n".join([xid(1, 0, 79), fail("DeviceGetHandleByIndex_v2", 0, GPU_IS_LOST)])
    box.show(more=off)
    become(daemon, alice, "fault", "available")
    eventually(lambda: "Xid 79: fallen off the bus" in daemon.job(job)["note"])
    assert daemon.wait_state(daemon.submit(alice, *LONG), "RUNNING")["gpu_ids"] == [1]


def test_a_driver_that_is_replaced_holds_new_starts_until_it_fits(
    make_box: Callable[..., Box], alice: User
) -> None:
    box = make_box()
    daemon = box.daemon
    job = daemon.submit(alice, *LONG)
    daemon.wait_state(job, "RUNNING")
    box.show(more=f"init {VERSION_MISMATCH}")
    shutil.move(build(FOLDER, "new"), FOLDER / "libnvidia-ml.so.1")
    become(daemon, alice, "unknown", "unknown")
    held = daemon.submit(alice, *LONG)
    note = gpus(daemon, alice)[1]["note"]
    assert note.startswith("the driver was upgraded")
    assert note in daemon.job(held)["detail"]
    assert daemon.job(job)["state"] == "RUNNING"
    assert "ERROR" not in daemon.log()
    box.show()
    daemon.wait_state(held, "RUNNING")
