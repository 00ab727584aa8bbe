"""The queue as people and scripts look at it, and what they end by it: with a real daemon."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

GPUS = [{"name": "Sim A", "memory": 16384, "count": 2}]
Make = Callable[..., Daemon]
LEAVE = b"\x1b[?25h\x1b[?1049l"


def test_a_watched_queue_is_drawn_again_when_something_happens(
    make_daemon: Make, alice: User, bob: User
) -> None:
    daemon = make_daemon(gpus=GPUS)
    master, slave = os.openpty()
    os.set_blocking(master, False)
    screens = b""

    def seen() -> bytes:
        nonlocal screens
        try:
            screens += os.read(master, 1 << 16)
        except BlockingIOError:
            pass  # nothing new
        return screens

    look = daemon.popen(bob, ["mgpu_queue", "--watch", "3600"], stdout=slave)
    try:
        eventually(seen, until=lambda text: b"NODELIST(REASON)" in text)
        job = daemon.submit(alice, "--gpus", "1", "--", "sleep", "600")
        eventually(seen, until=lambda text: b"gpu0" in text)
        assert f" {job} ".encode() in screens
        daemon.kill9()
        daemon.start()
        daemon.submit(alice, "--gpus", "1", "--", "sleep", "600")
        eventually(seen, until=lambda text: b"gpu1" in text)
        look.send_signal(signal.SIGINT)
        eventually(seen, until=lambda text: text.endswith(LEAVE))
        _, complaints = look.communicate(timeout=10)
        assert (look.returncode, complaints) == (0, "")
    finally:
        look.kill()
        os.close(slave)
        os.close(master)


def test_jobs_are_listed_and_cancelled_by_what_they_are(
    make_daemon: Make, alice: User, bob: User, carol: User
) -> None:
    daemon = make_daemon(gpus=GPUS)
    one = daemon.submit(alice, "--gpus", "2", "--name", "train-a", "--", "sleep", "600")
    two = daemon.submit(alice, "--gpus", "2", "--name", "train-b", "--", "sleep", "600")
    array = daemon.submit(alice, "--array", "0-3", "--name", "sweep", "--", "sleep", "600")
    other = daemon.submit(bob, "--gpus", "1", "--name", "train-c", "--", "sleep", "600")
    daemon.wait_state(one, "RUNNING")
    assert daemon.queue(alice, "-h", "-o", "%i", "-n", "train-?").split() == [str(one), str(two)]
    counted = daemon.queue(alice, "-h", "--group", "user").split("\n")
    assert [line.split()[:3] for line in counted if line] == [
        ["alice", "6", "5"],
        ["bob", "1", "1"],
    ]
    dry = daemon.command(alice, ["mgpu_cancel", "--dry-run", "--state", "PD"])
    assert dry.stdout.splitlines() == [
        f"Would cancel job {two} (PENDING, alice, train-b)",
        f"Would cancel job {array}_[0-3] (PENDING, alice, sweep)",
    ]
    assert daemon.job(two)["state"] == "PENDING"
    assert daemon.command(alice, ["mgpu_cancel", "--state", "PD"]).returncode == 0
    refused = daemon.command(alice, ["mgpu_cancel", "--user", "bob"])
    assert (refused.returncode, daemon.job(other)["state"]) == (2, "PENDING")
    assert "by administrators" in refused.stderr
    done = daemon.command(carol, ["mgpu_cancel", "--admin", "--user", "bob"])
    assert done.stdout == f"Cancelled job {other}\n"
    assert daemon.queue(alice, "-h", "-o", "%i").split() == [str(one)]
