"""What the scheduler tells the exporter, and what it costs nobody."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mgpu.model.metrics import METRICS
from mgpu.protocol import link
from tests.unit.daemon.outside import received
from tests.unit.daemon.rig import ALICE, BOB, Rig, a_submit

MakeRig = Callable[..., Rig]
CLASSES = [
    {"name": "normal", "priority": 0, "preemptible": False, "min_run": 0, "groups": []},
    {"name": "idle", "priority": -1, "preemptible": True, "min_run": 0, "groups": []},
]


class Exporter:
    """The other end of the line."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        message = {"op": "helper", "name": "exporter"}
        link.send(rig.launcher.sock, message, [theirs.fileno()])
        theirs.close()
        rig.settle()

    def ask(self) -> list[dict[str, Any]]:
        """What comes in answer."""
        link.send(self.sock, {"op": "scrape"})
        self.rig.settle()
        return received(self.sock)

    def values(self) -> dict[tuple[str, ...], Any]:
        """The samples of one snapshot, by name and labels."""
        self.rig.wait(1)
        answer = self.ask()
        assert [one["op"] for one in answer][:: len(answer) - 1] == ["begin", "end"]
        parts = [sample for one in answer[1:-1] for sample in one["samples"]]
        return {(name, *labels): value for name, labels, value in parts}


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig(
        metrics__listen="127.0.0.1:1",
        scheduling__classes=CLASSES,
        limits__request_burst=100_000,
    )


@pytest.fixture
def exporter(rig: Rig) -> Iterator[Exporter]:
    one = Exporter(rig)
    yield one
    one.sock.close()


def test_the_queue_and_what_became_of_jobs(rig: Rig, exporter: Exporter) -> None:
    first, other, waiting = (rig.submit(uid) for uid in (ALICE, BOB, BOB))
    idle = rig.submit(qos="idle")
    for job in (first, other):
        rig.supervisor(job).runs()
    found = exporter.values()
    assert found["mgpu_jobs", "RUNNING"] == 2
    assert found["mgpu_jobs", "PENDING"] == 2
    assert (found["mgpu_users", "RUNNING"], found["mgpu_users", "PENDING"]) == (2, 2)
    assert found["mgpu_class_gpus", "normal"] == 2
    assert found["mgpu_class_jobs", "idle"] == 0
    assert found["mgpu_jobs_submitted_total", "normal"] == 3
    assert found["mgpu_jobs_submitted_total", "idle"] == 1
    assert found["mgpu_jobs_started_total", "normal"] == 2
    assert found["mgpu_wait_seconds", "normal"][0] == 2
    rig.wait(100)
    rig.supervisor(first).ends(1)
    found = exporter.values()
    assert found["mgpu_jobs_ended_total", "normal", "FAILED"] == 1
    assert found["mgpu_wait_seconds", "normal"][3] == 1
    assert {waiting, idle} == set(rig.active()) - {other}


def test_an_array_counts_its_tasks(rig: Rig, exporter: Exporter) -> None:
    rig.submit(array="0-9")
    found = exporter.values()
    assert found["mgpu_jobs_submitted_total", "normal"] == 10
    assert (found["mgpu_jobs", "RUNNING"], found["mgpu_jobs", "PENDING"]) == (2, 8)


def test_gpus(rig: Rig, exporter: Exporter) -> None:
    rig.submit(gpu_mem=1000)
    found = exporter.values()
    assert found["mgpu_gpu_state", "gpu0", "available"] == 1
    assert found["mgpu_gpu_memory_bytes", "gpu0"] == 16384 << 20
    assert found["mgpu_gpu_memory_reserved_bytes", "gpu0"] == 1000 << 20
    assert found["mgpu_gpu_jobs", "gpu0"] + found["mgpu_gpu_jobs", "gpu1"] == 1


def test_every_sample_is_in_the_table_with_its_labels(make_rig: MakeRig) -> None:
    rig = make_rig(
        metrics__listen="127.0.0.1:1",
        metrics__users=True,
        notices__enabled=True,
        limits__request_burst=100_000,
    )
    exporter = Exporter(rig)
    for _ in range(3):
        rig.submit()
    rig.supervisor(1).runs()
    rig.supervisor(1).ends(0)
    found = {name: labels for name, *labels in [*exporter.values(), *exporter.values()]}
    exporter.sock.close()
    for name, labels in found.items():
        assert len(labels) == len(METRICS[name].labels), name
    own = {"mgpu_up", "mgpu_snapshot_age_seconds"}
    unread = {"mgpu_class_utilization_ratio", "mgpu_gpu_temperature_celsius"}
    rare = {"mgpu_jobs_requeued_total", "mgpu_starts_deferred_total"}
    driver = {"mgpu_gpu_utilization_ratio", "mgpu_gpu_power_watts"}
    assert set(METRICS) - set(found) <= own | unread | rare | driver


def test_users_are_named_where_that_is_configured_alone(rig: Rig, exporter: Exporter) -> None:
    rig.submit()
    assert not [key for key in exporter.values() if key[0].startswith("mgpu_user_")]


def test_it_answers_twice_a_second_at_most(rig: Rig, exporter: Exporter) -> None:
    assert exporter.ask()
    assert exporter.ask() == []
    rig.wait(0.6)
    assert exporter.ask()


def test_an_exporter_that_does_not_read_holds_nobody_up(rig: Rig, exporter: Exporter) -> None:
    for _ in range(2000):
        link.send(exporter.sock, {"op": "scrape"})
        rig.wait(0.6)
    assert "ok" in rig.client().one(a_submit())
    exporter.sock.close()
    rig.settle()
    assert "ok" in rig.client().one(a_submit(key="2"))


def test_a_snapshot_does_not_grow_with_the_queue(make_rig: MakeRig) -> None:
    rig = make_rig(
        metrics__listen="127.0.0.1:1",
        limits__request_burst=100_000,
        limits__pending_per_user=1_000_000,
    )
    exporter = Exporter(rig)
    before = len(exporter.values())
    rig.submit(count=1000)
    assert len(exporter.values()) <= before + 6
    exporter.sock.close()


def test_what_was_before_somebody_asks_is_counted_too(make_rig: MakeRig) -> None:
    rig = make_rig(metrics__listen="")
    rig.submit()
    exporter = Exporter(rig)
    assert exporter.values()["mgpu_jobs_submitted_total", "normal"] == 1
    exporter.sock.close()


def test_what_users_have_and_who_waits_first(make_rig: MakeRig) -> None:
    rig = make_rig(metrics__users=True, limits__request_burst=100_000)
    exporter = Exporter(rig)
    for uid, gpus in ((ALICE, 1), (BOB, 1), (BOB, 2), (BOB, 1)):
        rig.submit(uid, gpus=gpus, time_limit=5000)
    rig.supervisor(1).runs()
    rig.wait(100)
    found = exporter.values()
    exporter.sock.close()
    counted = ("mgpu_user_jobs", "mgpu_user_gpus", "mgpu_user_waiting")
    assert [found[name, f"u{ALICE}"] for name in counted] == [1, 1, 0]
    assert [found[name, f"u{BOB}"] for name in counted] == [1, 1, 2]
    assert found["mgpu_first_in_line_seconds",] == pytest.approx(101, abs=1)
    assert found["mgpu_gpu_memory_outside_bytes", "gpu0"] == 0


def test_notices_and_the_cost_of_snapshots_are_counted(make_rig: MakeRig) -> None:
    rig = make_rig(notices__enabled=True, limits__request_burst=100_000)
    exporter = Exporter(rig)
    for job in range(1, 8):
        assert rig.submit(notify=[f"https://h.org/{n}" for n in range(15)]) == job
        rig.supervisor(job).runs()
        rig.supervisor(job).ends(0)
    exporter.values()
    found = exporter.values()
    exporter.sock.close()
    assert (found["mgpu_notices_waiting",], found["mgpu_notices_dropped_total",]) == (100, 5)
    assert (found["mgpu_notices_sent_total",], found["mgpu_notices_failed_total",]) == (0, 0)
    assert sum(found["mgpu_snapshot_seconds",][:-1]) == 1
