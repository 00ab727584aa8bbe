"""mgpu_job update --time-limit, --qos and sizes, with a real daemon and real jobs."""

from __future__ import annotations

from collections.abc import Callable

from tests.lib.daemon import Daemon
from tests.lib.users import User

Make = Callable[..., Daemon]
CLASSES = {"scheduling": {"classes": [{"name": "low", "priority": -10}]}}


def update(daemon: Daemon, user: User, *args: str) -> str:
    """What is said; of what is refused the error."""
    done = daemon.command(user, ["mgpu_job", "update", *args])
    return done.stdout if done.returncode == 0 else done.stderr


def test_what_waits_gets_another_limit_and_class_and_keeps_them(
    make_daemon: Make, alice: User, bob: User
) -> None:
    daemon = make_daemon(CLASSES)
    job = daemon.submit(alice, "--gpus", "0", "--hold", "--time-limit", "600", "--", "sleep", "60")
    assert "unknown, or not yours" in update(daemon, bob, str(job), "--time-limit", "1")
    assert "there is no class 'high'" in update(daemon, alice, str(job), "--qos", "high")
    assert update(daemon, alice, str(job), "--time-limit", "1s", "--qos", "low") == (
        f"Changed job {job}\n"
    )
    daemon.kill9()
    daemon.start()
    row = daemon.job(job)
    assert (row["time_limit"], row["qos"]) == (1, "low")
    daemon.command(alice, ["mgpu_job", "release", str(job)])
    told = daemon.command(alice, ["mgpu_job", "history", str(job)]).stdout
    assert "time limit 0:01, class low" in told
    daemon.wait_state(job, "RUNNING")
    assert "has started already" in update(daemon, alice, str(job), "--qos", "none")


def test_what_runs_gets_less_from_its_owner_and_more_from_an_administrator(
    make_daemon: Make, alice: User, carol: User
) -> None:
    daemon = make_daemon(CLASSES)
    args = ["--gpus", "0", "--no-requeue", "--", "sleep", "600"]
    limited = daemon.submit(alice, "--time-limit", "3600", *args)
    unlimited = daemon.submit(alice, *args)
    daemon.wait_state(limited, "RUNNING")
    daemon.wait_state(unlimited, "RUNNING")
    refused = update(daemon, alice, str(limited), "--time-limit", "2h")
    assert "only an administrator gives it more" in refused
    assert update(daemon, carol, "--admin", str(limited), "--time-limit", "2h") == (
        f"Changed job {limited}\n"
    )
    assert daemon.job(limited)["time_limit"] == 7200
    for job in (limited, unlimited):
        assert update(daemon, alice, str(job), "--time-limit", "1s") == f"Changed job {job}\n"
        daemon.wait_state(job, "TIMEOUT")


def test_what_waits_gets_other_sizes_and_starts_on_what_is_free(
    make_daemon: Make, alice: User
) -> None:
    daemon = make_daemon(CLASSES)
    blocker = daemon.submit(alice, "--gpus", "1", "--mem", "15G", "--", "sleep", "600")
    daemon.wait_state(blocker, "RUNNING")
    job = daemon.submit(alice, "--gpus", "2", "--mem", "2G", "--", "sleep", "600")
    assert "this machine has 2" in update(daemon, alice, str(job), "--gpus", "3")
    assert "that large" in update(daemon, alice, str(job), "--mem", "99G")
    daemon.kill9()
    daemon.start()
    assert daemon.job(job)["state"] == "PENDING"
    assert update(daemon, alice, str(job), "--mem", "500M") == f"Changed job {job}\n"
    daemon.wait_state(job, "RUNNING")
    assert (daemon.job(job)["gpus"], daemon.job(job)["gpu_mem"]) == (2, 500)
    told = daemon.command(alice, ["mgpu_job", "history", str(job)]).stdout
    assert "time limit the machine's, 2 GPUs with 500M each" in told
    assert "has started already" in update(daemon, alice, str(job), "--gpus", "1")
    daemon.kill9()
    daemon.start()
    assert daemon.job(job)["gpu_mem"] == 500
