"""Metrics of a real daemon, read as Prometheus reads them."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lib import processes
from tests.lib.daemon import Daemon
from tests.lib.users import NOTIFY_USER, ROOT, User, find
from tests.lib.waiting import eventually

MakeDaemon = Callable[..., Daemon]


@pytest.fixture
def listen() -> str:
    """A free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return f"127.0.0.1:{one.getsockname()[1]}"


def read(listen: str) -> str:
    """The page."""
    try:
        with urllib.request.urlopen(f"http://{listen}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError as error:
        raise AssertionError(str(error)) from error


def value(page: str, name: str, **labels: str) -> float | None:
    """The value of one metric."""
    for family in text_string_to_metric_families(page):
        for one in family.samples:
            if one.name == name and one.labels == labels:
                return float(one.value)
    return None


def exporter(daemon: Daemon) -> processes.Process:
    """The process that serves them."""
    found = [p for p in processes.running().values() if p.parent == daemon.pid]
    return next(p for p in found if "mgpu.metrics.main" in p.command)


def test_jobs_are_counted(make_daemon: MakeDaemon, alice: User, listen: str) -> None:
    daemon = make_daemon({"metrics": {"listen": listen}})
    eventually(lambda: read(listen))
    good = daemon.submit(alice, "--", "true")
    bad = daemon.submit(alice, "--", "false")
    daemon.wait_state(good, "COMPLETED")
    daemon.wait_state(bad, "FAILED")
    kind = {"class": "normal"}
    page = eventually(
        lambda: read(listen),
        until=lambda it: value(it, "mgpu_jobs_ended_total", **kind, state="FAILED") == 1,
    )
    assert value(page, "mgpu_jobs_ended_total", **kind, state="COMPLETED") == 1
    assert value(page, "mgpu_jobs_started_total", **kind) == 2
    assert value(page, "mgpu_wait_seconds_count", **kind) == 2
    assert value(page, "mgpu_gpu_state", gpu="gpu0", state="available") == 1
    assert value(page, "mgpu_up") == 1
    assert (value(page, "mgpu_commit_seconds_count") or 0) > 2
    assert "alice" not in page


def test_the_exporter_has_no_rights(make_daemon: MakeDaemon, listen: str) -> None:
    daemon = make_daemon({"metrics": {"listen": listen}})
    eventually(lambda: read(listen))
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{exporter(daemon).pid}/status").read_text().splitlines()
    )
    assert set(status["Uid"].split()) == {str(find(NOTIFY_USER).uid)}
    assert {status[f"Cap{kind}"] for kind in ("Eff", "Prm", "Inh", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"


def test_it_outlives_the_scheduler_and_is_started_again(
    make_daemon: MakeDaemon, listen: str
) -> None:
    daemon = make_daemon({"metrics": {"listen": listen}})
    eventually(lambda: read(listen))
    pid = exporter(daemon).pid
    daemon.kill9_scheduler()
    daemon.wait_ready()
    eventually(lambda: value(read(listen), "mgpu_uptime_seconds"), until=lambda it: it and it < 10)
    assert exporter(daemon).pid == pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: read(listen), timeout=15)
    assert exporter(daemon).pid != pid


def test_a_scheduler_that_hangs_is_shown_as_it_was(make_daemon: MakeDaemon, listen: str) -> None:
    daemon = make_daemon({"metrics": {"listen": listen}})
    eventually(lambda: read(listen))
    scheduler = daemon.scheduler_pid()
    assert scheduler is not None
    os.kill(scheduler, signal.SIGSTOP)
    try:
        page = eventually(
            lambda: read(listen),
            until=lambda it: (value(it, "mgpu_snapshot_age_seconds") or 0) > 1,
        )
        assert value(page, "mgpu_jobs", state="RUNNING") == 0
    finally:
        os.kill(scheduler, signal.SIGCONT)
    eventually(
        lambda: value(read(listen), "mgpu_snapshot_age_seconds"),
        until=lambda it: it is not None and it < 1,
    )


def test_without_an_address_nothing_is_served(daemon: Daemon) -> None:
    helpers = [p for p in processes.running().values() if p.parent == daemon.pid]
    assert not [p for p in helpers if "mgpu.metrics" in p.command]


def test_a_reload_serves_elsewhere_or_not_at_all(
    make_daemon: MakeDaemon, alice: User, listen: str
) -> None:
    daemon = make_daemon()
    daemon.wait_state(daemon.submit(alice, "--", "true"), "COMPLETED")
    with socket.create_server(("127.0.0.1", 0)) as one:
        other = f"127.0.0.1:{one.getsockname()[1]}"
    for place in (listen, other):
        daemon.configure({"metrics": {"listen": place, "users": place == other}})
        reload(daemon)
        page = eventually(partial(read, place))
        assert value(page, "mgpu_jobs_ended_total", **{"class": "normal"}, state="COMPLETED") == 1
    with pytest.raises(AssertionError, match="refused"):
        read(listen)
    pid = exporter(daemon).pid
    daemon.configure({})
    reload(daemon)
    eventually(lambda: not processes.alive(pid))
    assert "ERROR" not in daemon.log()


def test_a_place_that_is_taken_is_told_and_tried_again(
    make_daemon: MakeDaemon, listen: str
) -> None:
    daemon = make_daemon({"metrics": {"listen": listen}})
    eventually(lambda: read(listen))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon.configure({"metrics": {"listen": place}})
        reload(daemon)
        eventually(lambda: "cannot serve metrics" in daemon.log())
    assert value(eventually(lambda: read(place), timeout=15), "mgpu_up") == 1


def reload(daemon: Daemon) -> None:
    """Apply the configuration as it is written."""
    done = daemon.command(ROOT, ["mgpu_ctl", "reload"])
    assert done.returncode == 0, done.stderr
