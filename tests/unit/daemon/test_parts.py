"""The small parts: accounts, start orders and payloads, rows, opening the state."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from mgpu.daemon import main, opening, views
from mgpu.daemon.accounts import FRESH, PATIENCE, STRANGERS, Account, Accounts
from mgpu.model.errors import MgpuError
from mgpu.model.job import Ended, Pending, Phase, Running, Starting, Stopping
from mgpu.model.time import Now
from mgpu.protocol.names import JOB_FIELDS
from mgpu.store.sqlite import open_store
from mgpu.testing.builders import Desk, a_job, a_spec, at
from tests.unit.daemon.rig import Rig

Result = Account | MgpuError


# -- accounts --------------------------------------------------------------------------------------


class Desk2:
    """Who asked, and what was asked of the launcher."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.results: list[Result] = []
        self.accounts = Accounts(self.asked.append)

    def lookup(self, uid: int, boot: float) -> None:
        self.accounts.lookup(uid, lambda result, _now: self.results.append(result), Now(0.0, boot))

    def answer(self, uid: int, user: str, problem: str, boot: float) -> None:
        message = {"op": "account", "uid": uid, "user": user, "problem": problem}
        self.accounts.answered(message, Now(0.0, boot))


def test_an_account_is_asked_for_once_and_remembered_for_a_minute() -> None:
    desk = Desk2()
    desk.lookup(7, 0.0)
    desk.lookup(7, 1.0)
    assert desk.asked == [7]
    desk.answer(7, "joe", "", 2.0)
    assert desk.results == [Account(7, "joe", "")] * 2
    desk.lookup(7, 2.0 + FRESH - 0.1)
    assert desk.asked == [7]
    desk.lookup(7, 2.0 + FRESH)
    assert desk.asked == [7, 7]


def test_those_who_were_never_an_account_do_not_keep_users_away() -> None:
    """Somebody can have thousands of uids, in user namespaces."""
    desk = Desk2()
    desk.lookup(7, 0.0)
    desk.answer(7, "joe", "", 0.0)
    for uid in range(100_000, 100_000 + 2 * STRANGERS):
        desk.lookup(uid, 1.0 + FRESH)
    assert len(desk.asked) == 1 + STRANGERS
    assert all("try again" in str(error) for error in desk.results[1:])
    desk.lookup(7, 1.0 + FRESH)
    assert desk.asked[-1] == 7


def test_an_account_that_was_not_found_is_asked_for_again() -> None:
    desk = Desk2()
    desk.lookup(7, 0.0)
    desk.answer(7, "", "no such user", 1.0)
    assert isinstance(desk.results[0], MgpuError)
    desk.lookup(7, 1.0)
    assert desk.asked == [7, 7]


def test_no_answer_is_an_answer_after_some_seconds() -> None:
    desk = Desk2()
    desk.lookup(7, 10.0)
    desk.lookup(8, 12.0)
    assert sorted(desk.accounts.deadlines()) == [10 + PATIENCE, 12 + PATIENCE]
    desk.accounts.expire(Now(0.0, 10 + PATIENCE))
    assert len(desk.results) == 1
    desk.answer(7, "joe", "", 30.0)  # late, and kept
    desk.lookup(7, 31.0)
    assert desk.results[1] == Account(7, "joe", "")
    desk.answer(99, "unasked", "", 30.0)


# -- effects ---------------------------------------------------------------------------------------


def test_the_start_order_is_what_the_launcher_expects(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(scheduling__max_job_time=3600, scheduling__kill_grace=7)
    job = rig.submit(gpus=2, gpu_mem=500, time_limit=9000, signal=[10, 60])
    gpu = "GPU-51500000-0000-4000-8000-00000000000"
    assert rig.supervisor(job).order == {
        "op": "start",
        "job": 1,
        "attempt": 1,
        "uid": 1001,
        "user": "u1001",
        "limit": 3600,
        "warn": [10, 60],
        "grace": 7,
        "restarts": 0,
        "gpus": [0, 1],
        "uuids": [f"{gpu}0", f"{gpu}1"],
        "minors": [0, 1],
        "capabilities": [],
        "gpu_mem": 500,
        "cpus": 0,
        "host_mem": 0,
        "array": None,
    }


def test_the_order_of_a_second_attempt_counts_the_restart(rig: Rig) -> None:
    job = rig.submit(time_limit=5)
    rig.supervisor(job).runs()
    rig.supervisor(job).ends(None, signal=15, cause="timelimit")
    order = rig.supervisor(job, 2).order
    assert (order["attempt"], order["restarts"], order["warn"]) == (2, 1, None)


def test_the_payload_comes_sealed_and_whole(rig: Rig) -> None:
    job = rig.submit(argv=[b"python", b"train.py"], env=[b"PATH=/bin", b"X=\xff"])
    fd = rig.supervisor(job).payload
    payload: dict[str, Any] = msgpack.unpackb(os.pread(fd, 1 << 20, 0))
    assert payload["argv"] == [b"python", b"train.py"]
    assert payload["env"] == [b"PATH=/bin", b"X=\xff"]
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == seals
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)


def test_the_jobs_of_a_submission_share_one_payload_in_memory(rig: Rig) -> None:
    rig.submit(count=2)
    inodes = {os.fstat(rig.supervisor(job).payload).st_ino for job in (1, 2)}
    assert len(inodes) == 1


# -- rows ------------------------------------------------------------------------------------------

OWNER = views.Viewer(1000, may_any=False, open_queue=False)


def test_a_row_has_the_fields_in_order() -> None:
    desk = Desk(8000, 8000)
    world = desk.world
    gpus = ("GPU-1",)
    start = at(10)
    job_ended = Ended("FAILED", start.wall + 5, start.wall, 3, None, "why", gpus)
    phases: list[tuple[Phase, float | None, float | None, float, list[int]]] = [
        (Pending(1.0), None, None, 0.0, []),
        (Starting(gpus, start), None, None, 0.0, [1]),
        (Running(gpus, start, 5, 6), start.wall, None, 20.0, [1]),
        (Stopping(gpus, 0, start), start.wall, None, 20.0, [1]),
        (Stopping(gpus, 0, None), None, None, 0.0, [1]),
        (job_ended, start.wall, start.wall + 5, 5.0, [1]),
    ]
    for phase, started, ended, elapsed, ids in phases:
        job = a_job(4, phase, a_spec(mem=100, limit=60), attempt=1)
        values = views.row(world, job, OWNER, at(30))
        row = dict(zip(JOB_FIELDS, values, strict=True))
        assert (row["started"], row["ended"], row["elapsed"]) == (started, ended, elapsed)
        assert row["gpu_ids"] == ids
        assert (row["id"], row["user"], row["state"]) == (4, "u", job.state)
        assert (row["time_limit"], row["gpus"], row["gpu_mem"]) == (60, 1, 100)
        assert (row["name"], row["command"], row["cwd"]) == ("train", "python train.py", "/home/u")
        assert row["mine"] is True
    assert (row["code"], row["signal"], row["detail"]) == (3, None, "why")


def test_a_listing_of_nothing_still_names_the_fields() -> None:
    part, ok = views.listing(Desk(8000).world, [], OWNER, at(0))
    assert part["part"] == {"rows": [], "fields": list(JOB_FIELDS)}
    assert ok == {"ok": {"count": 0}}


# -- opening ---------------------------------------------------------------------------------------


def test_a_state_that_cannot_be_read_is_copied_and_left(tmp_path: Path) -> None:
    database = tmp_path / "mgpu.db"
    database.write_bytes(b"not a database" * 500)
    opened = opening.open_state(str(tmp_path), at(0))
    assert opened.recovery
    assert opened.store.load().jobs == []
    assert database.read_bytes() == b"not a database" * 500
    (copy,) = (p for p in tmp_path.iterdir() if p.name.startswith("mgpu.db.damaged."))
    assert copy.read_bytes() == database.read_bytes()
    assert copy.name in opened.recovery
    assert copy.stat().st_mode & 0o077 == 0


def test_a_state_of_a_later_version_ends_the_process(tmp_path: Path) -> None:
    store = open_store(tmp_path, 0.0)
    store._db.execute("PRAGMA user_version = 999")
    store.close()
    with pytest.raises(SystemExit) as ended:
        opening.open_state(str(tmp_path), at(0))
    assert ended.value.code == opening.UNUSABLE


def test_the_launcher_names_the_descriptors() -> None:
    words = ["--settings-fd", "3", "--user-fd", "4", "--admin-fd", "5", "--link-fd", "6"]
    assert main.descriptors(words) == {"settings": 3, "user": 4, "admin": 5, "link": 6}
