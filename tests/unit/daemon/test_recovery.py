"""What a new scheduler makes of what an earlier one left: folders, locks, records, another boot."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from mgpu.daemon import attempts
from mgpu.model.job import Ended, Pending, Running, Starting, Stopping
from mgpu.protocol import link
from mgpu.store.memory import MemoryStore
from tests.unit.daemon.folders import Folder
from tests.unit.daemon.outside import Key, message_of
from tests.unit.daemon.rig import ALICE, Rig
from tests.unit.daemon.test_attempts import cancel, end_of, record


class Ground:
    """A rig, and the folders of supervisors that outlive its schedulers."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.folders: list[Folder] = []

    def folder(self, key: Key, *, boot_id: str | None = "boot-1") -> Folder:
        self.folders.append(Folder(self.rig.folder / "state", key, boot_id=boot_id))
        return self.folders[-1]

    def running(self) -> int:
        job = self.rig.submit()
        self.rig.supervisor(job).runs()
        return job

    def says(self, folder: Folder, op: str, **fields: object) -> None:
        sock = folder.sock or folder.accept()
        link.send(sock, message_of(op, folder.key, self.rig.clock.now(), fields))
        self.rig.settle()


@pytest.fixture
def ground(rig: Rig) -> Iterator[Ground]:
    ground = Ground(rig)
    yield ground
    for folder in ground.folders:
        folder.die()


def test_a_supervisor_that_lives_is_adopted(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    folder = ground.folder((job, 1)).live()
    rig.again(children=((job, 1),))
    ground.says(folder, "running", pid=4000 + job, ticks=7)
    assert isinstance(rig.job(job).phase, Running)
    assert not rig.launcher.started
    ground.says(folder, "ended", code=4)
    assert end_of(rig, job).code == 4
    assert folder.hears() == [{"op": "ack", "job": job, "attempt": 1}]


def test_what_runs_keeps_its_gpus_through_a_restart(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    gpus = rig.job(job).gpus
    folder = ground.folder((job, 1)).live()
    rig.again()
    folder.accept()
    other = rig.submit()
    assert rig.active()[job].gpus == gpus
    assert not set(gpus) & set(rig.active()[other].gpus)


def test_the_record_of_a_job_that_ended_meanwhile_is_believed(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    folder = ground.folder((job, 1)).lock()
    folder.write("exit", record(code=7))
    folder.die()
    rig.again()
    assert end_of(rig, job).code == 7
    assert not folder.exists


def test_the_launcher_is_told_of_the_ends_that_it_does_not_hear_of(
    ground: Ground, rig: Rig
) -> None:
    child, adopted = ground.running(), ground.running()
    for job in (child, adopted):
        folder = ground.folder((job, 1)).lock()
        folder.write("exit", record(code=7))
        folder.die()
    rig.again(children=((child, 1),))
    rig.launcher.about("gone", (child, 1))
    assert end_of(rig, child).code == end_of(rig, adopted).code == 7
    assert rig.launcher.heard("clear") == [{"op": "clear", "job": adopted, "attempt": 1}]


def test_a_record_is_removed_only_after_its_end_is_stored(ground: Ground, rig: Rig) -> None:
    for boot in ("boot-1", "boot-2"):
        job = ground.running()
        folder = ground.folder((job, 1), boot_id=rig.boot_id)
        folder.write("exit", record(code=7))
        rig.boot_id = boot
        rig.again(hello=False)
        link.send(rig.launcher.sock, {"op": "hello", "attempts": []})
        rig.scheduler._loop.turn(lambda _now: None, 0)  # all but the turn that stores
        assert folder.exists
        rig.settle()
        assert end_of(rig, job).code == 7
        assert not folder.exists


def test_a_torn_record_makes_the_job_lost_not_successful(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    folder = ground.folder((job, 1))
    (folder.path / "exit").write_bytes(b"\x8a\xa2op")
    rig.again()
    assert rig.launcher.heard("kill") == [{"op": "kill", "job": job, "attempt": 1}]
    rig.launcher.about("killed", (job, 1))
    assert (end_of(rig, job).state, end_of(rig, job).code) == ("FAILED", None)
    assert not folder.exists


def test_a_job_that_runs_without_a_folder_is_killed_and_lost(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    rig.again()
    rig.launcher.about("killed", (job, 1))
    assert end_of(rig, job).state == "FAILED"


def test_a_start_of_which_nothing_exists_is_given_up_and_made_anew(rig: Rig) -> None:
    job = rig.submit()
    rig.again()
    assert (rig.folder / "state/attempts" / f"{job}.1").is_dir()  # the fence
    assert [*rig.launcher.started] == [(job, 2)]
    assert rig.job(job).deferrals == 0


def test_the_fence_stays_while_its_supervisor_may_be_on_its_way(rig: Rig) -> None:
    job = rig.submit()
    rig.again(children=((job, 1),))
    fence = rig.folder / "state/attempts" / f"{job}.1"
    assert fence.is_dir()
    rig.again(children=((job, 1), (job, 2)))
    assert fence.is_dir()
    rig.launcher.about("gone", (job, 1))
    assert not fence.exists()


def test_a_fence_that_was_made_before_a_crash_still_gives_up_the_attempt(
    ground: Ground, rig: Rig
) -> None:
    job = rig.submit()
    ground.folder((job, 1), boot_id=None)
    rig.again()
    rig.launcher.about("killed", (job, 1))
    assert isinstance(rig.job(job).phase, Pending)
    rig.wait(2)
    assert (job, 2) in rig.launcher.started


def test_a_supervisor_that_has_only_made_its_folder_is_waited_for(ground: Ground, rig: Rig) -> None:
    job = rig.submit()
    folder = ground.folder((job, 1), boot_id=None)
    rig.again(children=((job, 1),))
    rig.wait(attempts.RETRY * 1.1)
    assert not rig.launcher.heard("kill")
    folder.lock()
    rig.wait(attempts.RETRY * 1.1)
    folder.listen()
    rig.wait(attempts.RETRY * 1.1)
    ground.says(folder, "running")
    assert isinstance(rig.job(job).phase, Running)


def test_one_that_dies_before_it_listens_is_noticed(ground: Ground, rig: Rig) -> None:
    job = rig.submit()
    folder = ground.folder((job, 1), boot_id=None).lock()
    rig.again(children=((job, 1),))
    folder.die()
    rig.launcher.about("gone", (job, 1))
    rig.launcher.about("killed", (job, 1))
    assert isinstance(rig.job(job).phase, Pending)


def test_one_that_never_listens_is_killed(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    ground.folder((job, 1)).lock()
    rig.again()
    for _ in range(attempts.TRIES):
        assert not rig.launcher.heard("kill")
        rig.wait(attempts.RETRY * 1.1)
    assert len(rig.launcher.heard("kill")) == 1


def test_a_cancel_before_adoption_is_delivered_after_it(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    folder = ground.folder((job, 1)).lock()
    rig.again()
    assert cancel(rig, job) == "cancelling"
    folder.listen()
    rig.wait(attempts.RETRY * 1.1)
    assert folder.hears() == [{"op": "stop", "grace": 30}]
    ground.says(folder, "ended", code=None, signal=15, cause="cancel")
    assert end_of(rig, job).state == "CANCELLED"


def test_a_cancel_before_the_crash_is_carried_out_after_it(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    cancel(rig, job)
    folder = ground.folder((job, 1)).live()
    rig.again()
    assert isinstance(rig.job(job).phase, Stopping)
    assert folder.hears() == [{"op": "stop", "grace": 30}]


def test_the_folder_of_an_end_that_is_stored_is_removed(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    rig.supervisor(job).ends()
    folder = ground.folder((job, 1))
    folder.write("exit", record(code=0))
    rig.again()
    assert not folder.exists


def test_a_supervisor_of_an_attempt_that_is_over_is_killed(ground: Ground, rig: Rig) -> None:
    folder = ground.folder((99, 1)).live()
    rig.again()
    folder.accept()
    assert rig.launcher.heard("kill") == [{"op": "kill", "job": 99, "attempt": 1}]
    ground.says(folder, "ended", signal=9, code=None)
    assert [m["op"] for m in folder.hears()] == ["ack"]
    assert not rig.active()


def test_what_is_no_attempt_s_folder_is_left_alone(rig: Rig) -> None:
    strange = rig.folder / "state/attempts/lost+found"
    strange.mkdir()
    rig.again()
    assert strange.exists()


def test_a_path_longer_than_an_address_is_no_obstacle(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    long = rig.folder / "state" / ("x" * 120)
    long.mkdir()
    rig.settings["paths.state_dir"] = str(long)
    folder = Folder(long, (job, 1)).live()
    ground.folders.append(folder)
    rig.again()
    ground.says(folder, "running")
    ground.says(folder, "ended", code=3)
    assert end_of(rig, job).code == 3


# -- another boot ----------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", ["boot-1", None])
def test_after_a_reboot_what_ran_waits_again(
    ground: Ground, rig: Rig, identity: str | None
) -> None:
    job = ground.running()
    folder = ground.folder((job, 1), boot_id=identity)
    rig.boot_id = "boot-2"
    rig.again()
    assert not folder.exists
    assert not rig.launcher.heard("kill")
    assert [*rig.launcher.started] == [(job, 2)]
    assert rig.active()[job].restarts == 1


def test_after_a_reboot_what_ran_without_a_folder_waits_again(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    rig.boot_id = "boot-2"
    rig.again()
    assert [*rig.launcher.started] == [(job, 2)]


def test_after_a_reboot_what_may_not_be_requeued_is_node_fail(ground: Ground, rig: Rig) -> None:
    job = rig.submit(requeue=False)
    rig.supervisor(job).runs()
    ground.folder((job, 1))
    rig.boot_id = "boot-2"
    rig.again()
    assert end_of(rig, job).state == "NODE_FAIL"


def test_a_record_of_before_the_boot_is_believed(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    ground.folder((job, 1)).write("exit", record(code=9))
    rig.boot_id = "boot-2"
    rig.again()
    assert end_of(rig, job).code == 9


def test_a_back_off_of_the_old_boot_s_clock_is_forgotten(rig: Rig) -> None:
    job = rig.submit()
    rig.launcher.refuses((job, 1), errno=errno.ENOMEM)
    rig.supervisor(job).dies()
    phase = rig.job(job).phase
    assert isinstance(phase, Pending)
    assert phase.eligible > rig.clock.now().boot
    rig.boot_id = "boot-2"
    rig.again()
    assert (job, 2) in rig.launcher.started


def test_the_boot_is_stored_with_what_it_changed(ground: Ground, rig: Rig) -> None:
    assert rig.store.load().boot_id == "boot-1"
    job = ground.running()
    rig.boot_id = "boot-2"
    rig.again(hello=False)
    rig.submit(gpus=0)
    assert rig.store.load().boot_id == "boot-1"  # its attempts are not yet judged
    rig.launcher.hello()
    assert rig.store.load().boot_id == "boot-2"
    assert rig.active()[job].restarts == 1


# -- before recovery, and in recovery mode ---------------------------------------------------------


def test_before_the_launcher_s_hello_nothing_is_started_or_killed(ground: Ground, rig: Rig) -> None:
    running, starting = ground.running(), rig.submit()
    rig.again(hello=False)
    assert rig.client(ALICE).ask({"op": "jobs"})[-1] == {"ok": {"count": 2}}
    rig.submit(gpus=0)
    assert {m["op"] for m in rig.launcher.said} <= {"ready", "account"}
    assert isinstance(rig.active()[running].phase, Running)
    assert isinstance(rig.active()[starting].phase, Starting)


def test_in_recovery_mode_nothing_that_was_left_is_touched(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    folder = ground.folder((job, 1))
    folder.write("exit", record())
    rig.recovery = "the file is damaged"
    rig.store = MemoryStore()
    rig.again(children=((job, 1),))
    rig.launcher.about("gone", (job, 1))
    assert folder.exists
    assert not rig.launcher.heard("kill")


def test_a_job_whose_end_is_told_twice_ends_once(ground: Ground, rig: Rig) -> None:
    job = ground.running()
    folder = ground.folder((job, 1)).live()
    folder.write("exit", record(code=2))
    rig.again()
    ground.says(folder, "ended", code=2)
    folder.die()
    rig.settle()
    assert isinstance(rig.job(job).phase, Ended)
    finished = [e for _, e in rig.store.history() if type(e).__name__ == "Finished"]
    assert len(finished) == 1
    assert not folder.exists
