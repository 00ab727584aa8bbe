"""An attempt from the order to the ack, with all that can go wrong on the way."""

from __future__ import annotations

import errno
import os

import pytest

from mgpu.daemon import effects, limits
from mgpu.model.job import Ended, Pending, Running, Starting, Stopping
from mgpu.protocol import link
from mgpu.store.base import StoreCorrupt
from tests.unit.daemon.folders import Folder
from tests.unit.daemon.outside import Key, message_of
from tests.unit.daemon.rig import ALICE, Rig, open_fds


def end_of(rig: Rig, job: int) -> Ended:
    phase = rig.job(job).phase
    assert isinstance(phase, Ended)
    return phase


def folder_of(rig: Rig, key: Key) -> Folder:
    return Folder(rig.folder / "state", key)


def cancel(rig: Rig, job: int) -> str:
    client = rig.client(ALICE)
    outcome: str = client.one({"op": "cancel", "jobs": [job]})["ok"]["jobs"][0][1]
    client.close()
    rig.settle()
    return outcome


def test_an_attempt_goes_from_the_order_to_the_ack(rig: Rig) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    assert isinstance(rig.job(job).phase, Starting)
    supervisor.says("ready")
    assert isinstance(rig.job(job).phase, Starting)
    supervisor.says("running", pid=77, ticks=5)
    assert rig.job(job).phase == Running(rig.job(job).gpus, rig.clock.now(), pid=77, ticks=5)
    supervisor.ends(3)
    assert (end_of(rig, job).state, end_of(rig, job).code) == ("FAILED", 3)
    assert supervisor.hears() == [{"op": "ack", "job": job, "attempt": 1}]
    supervisor.dies()
    rig.launcher.about("gone", (job, 1))
    assert not rig.scheduler._attempts._attempts


def test_the_monitor_is_told_the_supervisor_of_an_attempt_as_long_as_it_lives(rig: Rig) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    supervisor.says("ready")
    supervisor.says("running", pid=77, ticks=5, supervisor=76)
    assert rig.scheduler._leaders() == {77: job, 76: job}
    cancel(rig, job)
    assert rig.scheduler._leaders() == {76: job}
    supervisor.ends(None, signal=15)
    supervisor.dies()
    assert rig.scheduler._leaders() == {}


def test_a_supervisor_of_an_earlier_version_does_not_say_its_pid(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).says("running", pid=77, ticks=5)
    assert rig.scheduler._leaders() == {77: job}


def test_the_ack_is_sent_once(rig: Rig) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    supervisor.runs()
    supervisor.ends()
    for _ in range(5):
        rig.submit()
    assert [message["op"] for message in supervisor.hears()] == ["ack"]


def test_a_job_may_end_before_it_was_seen_to_run(rig: Rig) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    supervisor.says("ended", code=None, signal=9)
    assert (end_of(rig, job).state, end_of(rig, job).signal) == ("FAILED", 9)
    assert end_of(rig, job).started is not None


def test_its_folder_is_removed_when_the_supervisor_died_before_the_ack(rig: Rig) -> None:
    job = rig.submit()
    supervisor, folder = rig.supervisor(job), folder_of(rig, (job, 1)).lock()
    supervisor.runs()
    link.send(supervisor.sock, message_of("ended", (job, 1), rig.clock.now(), {}))
    folder.die()
    supervisor.dies()
    assert end_of(rig, job).code == 0
    rig.launcher.about("gone", (job, 1))
    assert not folder.exists


@pytest.mark.parametrize("eof_first", [True, False])
def test_what_the_launcher_refuses_is_tried_again(rig: Rig, eof_first: bool) -> None:
    job = rig.submit()
    if eof_first:  # the supervisor's end closes before the launcher says why
        rig.supervisor(job).dies()
    rig.launcher.refuses((job, 1), errno=errno.EAGAIN)
    if not eof_first:
        rig.supervisor(job).dies()
    if eof_first:
        rig.launcher.about("killed", (job, 1))
    phase = rig.job(job).phase
    assert isinstance(phase, Pending)
    assert "EAGAIN" in phase.detail
    rig.wait(1.1)
    assert (job, 2) in rig.launcher.started
    assert [*rig.scheduler._attempts._attempts] == [(job, 2)]


def test_a_start_that_can_never_succeed_ends_the_job(rig: Rig) -> None:
    job = rig.submit()
    rig.launcher.refuses((job, 1), stage="account", transient=False, errno=0, detail="expired")
    assert end_of(rig, job).state == "LAUNCH_FAILED"


def test_a_supervisor_that_dies_before_it_is_ready_is_replaced(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).dies()
    assert rig.launcher.heard("kill") == [{"op": "kill", "job": job, "attempt": 1}]
    assert isinstance(rig.job(job).phase, Starting)  # until nothing is left of it
    rig.launcher.about("gone", (job, 1))
    rig.launcher.about("killed", (job, 1))
    assert isinstance(rig.job(job).phase, Pending)
    assert len(rig.launcher.heard("kill")) == 1
    rig.wait(2)
    assert (job, 2) in rig.launcher.started


def test_a_supervisor_that_dies_later_loses_its_job(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).runs()
    rig.supervisor(job).dies()
    assert isinstance(rig.job(job).phase, Running)  # its GPUs are held until it is empty
    rig.launcher.about("killed", (job, 1))
    assert (end_of(rig, job).state, end_of(rig, job).code) == ("FAILED", None)
    assert end_of(rig, job).detail == "supervisor lost"


def test_a_supervisor_that_said_ready_may_have_run_the_job(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).says("ready")
    rig.supervisor(job).dies()
    rig.launcher.about("killed", (job, 1))
    assert end_of(rig, job).state == "FAILED"


def test_a_published_identity_counts_as_ready(rig: Rig) -> None:
    job = rig.submit()
    folder = folder_of(rig, (job, 1))
    rig.supervisor(job).dies()
    rig.launcher.about("killed", (job, 1))
    assert end_of(rig, job).state == "FAILED"
    assert not folder.exists


def test_the_record_of_a_dead_supervisor_is_believed(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).runs()
    folder = folder_of(rig, (job, 1))
    folder.write("exit", record(code=5))
    rig.supervisor(job).dies()
    assert end_of(rig, job).code == 5
    assert not rig.launcher.heard("kill")
    assert not folder.exists


def test_a_torn_record_is_not_believed(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).runs()
    folder = folder_of(rig, (job, 1))
    (folder.path / "exit").write_bytes(b"\x8a\xa2op")
    rig.supervisor(job).dies()
    rig.launcher.about("killed", (job, 1))
    assert (end_of(rig, job).state, end_of(rig, job).code) == ("FAILED", None)


def test_a_foreign_file_in_the_folder_is_no_obstacle(rig: Rig) -> None:
    job = rig.submit()
    rig.supervisor(job).runs()
    folder = folder_of(rig, (job, 1))
    folder.write("exit", record(code=1))
    (folder.path / "crash").write_text("ZeroDivisionError")
    rig.supervisor(job).dies()
    assert end_of(rig, job).code == 1
    assert not folder.exists


# -- stopping --------------------------------------------------------------------------------------


def test_a_running_job_is_stopped_by_its_supervisor(rig: Rig) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    supervisor.runs()
    assert cancel(rig, job) == "cancelling"
    assert cancel(rig, job) == "cancelling"
    assert supervisor.hears() == [{"op": "stop", "grace": 30}]
    assert isinstance(rig.job(job).phase, Stopping)
    supervisor.ends(None, signal=15, cause="cancel")
    assert end_of(rig, job).state == "CANCELLED"


def test_a_stop_reaches_an_attempt_that_was_only_ordered(rig: Rig) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    assert cancel(rig, job) == "cancelling"
    assert supervisor.hears() == [{"op": "stop", "grace": 30}]
    supervisor.runs()
    supervisor.ends(None, signal=15, cause="cancel")
    assert end_of(rig, job).state == "CANCELLED"
    assert [m["op"] for m in supervisor.hears()] == ["ack"]


def test_a_job_that_is_cancelled_and_refused_is_over_once(rig: Rig) -> None:
    job = rig.submit()
    cancel(rig, job)
    rig.launcher.refuses((job, 1))
    assert end_of(rig, job).state == "CANCELLED"
    rig.wait(100)
    assert [*rig.launcher.started] == [(job, 1)]


def test_a_waiting_job_is_cancelled_without_anybody_else(rig: Rig) -> None:
    rig.submit(count=2)
    job = rig.submit()
    assert cancel(rig, job) == "cancelled"
    assert cancel(rig, job) == "ended"
    assert len(rig.launcher.started) == 2


# -- what is late, repeated or false -----------------------------------------------------------


def test_the_end_of_an_earlier_attempt_changes_nothing(rig: Rig) -> None:
    job = rig.submit(requeue=True, time_limit=5)
    first = rig.supervisor(job)
    first.runs()
    first.ends(None, signal=15, cause="timelimit")
    second = rig.supervisor(job, 2)
    second.runs()
    first.ends(9)
    rig.launcher.about("gone", (job, 1))
    rig.launcher.about("killed", (job, 1))
    assert isinstance(rig.job(job).phase, Running)
    assert rig.job(job).attempt == 2
    assert second.hears() == []


def test_a_repeated_word_changes_nothing(rig: Rig) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    for _ in range(3):
        supervisor.runs()
    assert isinstance(rig.job(job).phase, Running)
    supervisor.ends(1)
    supervisor.ends(2)
    supervisor.runs()
    assert end_of(rig, job).code == 1


def test_words_about_jobs_that_never_were_change_nothing(rig: Rig) -> None:
    for op in ("gone", "killed"):
        rig.launcher.about(op, (99, 1))
    rig.launcher.refuses((99, 1))
    rig.launcher.says({"op": "later-version"})
    assert not rig.active()


@pytest.mark.parametrize("said", [b"\xc1", b"\x81\xa2op\xa5later"])
def test_a_supervisor_that_speaks_another_language_harms_nobody(rig: Rig, said: bytes) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    supervisor.runs()
    supervisor.sock.send(said)
    rig.settle()
    assert isinstance(rig.job(job).phase, Running)


def test_descriptors_that_a_supervisor_sends_are_not_kept(rig: Rig) -> None:
    job = rig.submit()
    supervisor = rig.supervisor(job)
    supervisor.runs()
    before = open_fds()
    link.send(supervisor.sock, {"op": "ready"}, [0, 0])
    rig.settle()
    assert open_fds() == before


def test_a_start_without_a_word_is_cleared_away(rig: Rig) -> None:
    job = rig.submit()
    rig.wait(limits.START_DEADLINE + 0.1)
    assert len(rig.launcher.heard("kill")) == 1
    rig.launcher.about("killed", (job, 1))
    assert isinstance(rig.job(job).phase, Starting)  # its supervisor lives, and may say the end
    rig.wait(limits.START_DEADLINE + 0.1)
    assert len(rig.launcher.heard("kill")) == 2
    rig.supervisor(job).dies()
    rig.launcher.about("killed", (job, 1))
    assert isinstance(rig.job(job).phase, Pending)


def test_a_start_that_cannot_be_ordered_is_tried_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(_data: bytes) -> int:
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    monkeypatch.setattr(effects, "_memory_file", no_memory)
    job = rig.submit()
    phase = rig.job(job).phase
    assert isinstance(phase, Pending)
    assert "ENFILE" in phase.detail
    monkeypatch.undo()


def test_many_starts_at_once_wait_for_room_on_the_link(rig: Rig) -> None:
    first = rig.submit(count=60, gpus=0)
    assert len(rig.launcher.started) == 60
    assert [*rig.launcher.started] == [(first + n, 1) for n in range(60)]


def test_the_end_of_the_launcher_is_the_end(rig: Rig) -> None:
    rig.launcher.sock.close()
    rig.turn()
    assert not rig.scheduler._loop._running


def test_nothing_is_left_open_after_an_attempt(rig: Rig) -> None:
    def one() -> None:
        job = rig.submit()
        supervisor = rig.supervisor(job)
        supervisor.runs()
        supervisor.ends()
        supervisor.dies()
        rig.launcher.about("gone", (job, 1))

    for _ in range(effects.KEPT + 1):
        one()
    before = open_fds()
    for _ in range(5):
        one()
    assert open_fds() == before


def record(**fields: object) -> dict[str, object]:
    base: dict[str, object] = {"op": "ended", "code": 0, "signal": None, "cause": "exit"}
    base |= {"detail": "", "wall": 1_700_000_100.0, "boot": 5100.0, "started_wall": 1_700_000_000.0}
    return base | {"boot_id": "boot-1"} | fields


def test_the_link_to_a_supervisor_is_closed_on_exec(rig: Rig) -> None:
    job = rig.submit()
    line = rig.scheduler._attempts._attempts[job, 1].line
    assert line is not None
    assert not line.sock.get_inheritable()


def test_a_payload_that_cannot_be_read_ends_its_job_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_spec: int) -> bytes:
        raise StoreCorrupt("payloads row 1: missing")

    with monkeypatch.context() as patch:
        patch.setattr(rig.scheduler._store, "payload", missing)
        job = rig.submit()
    assert end_of(rig, job).state == "LAUNCH_FAILED"
    assert "payloads row 1: missing" in end_of(rig, job).detail
    rig.supervisor(rig.submit()).runs()
