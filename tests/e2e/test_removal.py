"""Removing mgpu where there is no systemd: what waits for the daemon comes to an end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lib.docs import ROOT

LIB = ROOT / "scripts/lib"
PRERM = ROOT / "packaging/debian/prerm"
STOPS = {
    "scripts/uninstall": f". {LIB}/common.sh; . {LIB}/install.sh; prefix=/nowhere; stop_service",
    "the package": f"sed '/^case/,$d' {PRERM} > /run/prerm; . /run/prerm; stop_plain",
}


@pytest.mark.parametrize("stop", STOPS.values(), ids=list(STOPS))
def test_a_daemon_that_nobody_waits_for_holds_up_no_removal(stop: str) -> None:
    """PID 1 of many a container waits for none of its children."""
    program = "import sys; sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "mgpu.privileged.launcher"], stdin=subprocess.PIPE
    ) as daemon:
        lock = Path("/run/mgpu/lock")
        lock.parent.mkdir(exist_ok=True)
        lock.write_text(f"{daemon.pid}\n")
        try:
            subprocess.run(["bash", "-c", stop], timeout=10, check=True)
            ended = Path(f"/proc/{daemon.pid}/stat").read_text()
            assert ended.rpartition(")")[2].split()[0] == "Z"
        finally:
            lock.unlink()
            daemon.kill()
