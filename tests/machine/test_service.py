"""mgpu as a service of systemd: what starts, what lives on, what restarts, what is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lib.machine import Machine
from tests.lib.waiting import eventually

#: Says that it was told to end; then it ends.
STUBBORN = """-- sh -c 'trap "echo told; exit" TERM; while :; do sleep 0.1; done'"""  # job
ENDLESS = "--gpus 1 -- sleep 600"
UNITS = "mgpu.service mgpu-jobs.service mgpu.socket mgpu-admin.socket"


@pytest.fixture
def running(machine: Machine) -> tuple[int, int]:
    """A job of alice's that runs, and its first process."""
    for unit in ("mgpu", "mgpu-jobs"):
        assert machine.run("systemctl", "reset-failed", unit).returncode == 0
    machine.ok("systemctl", "start", "mgpu")
    machine.run("runuser", "-l", "alice", "-c", "mgpu_cancel --me")
    mine = "mgpu_queue --me --no-header"
    eventually(lambda: machine.as_user("alice", mine), until=lambda rows: not rows)
    job = machine.submit("alice", ENDLESS)
    machine.wait(job, "RUNNING")
    return job, machine.pid_of(job)


def is_untouched(machine: Machine, job: int, pid: int) -> None:
    """The job runs, has run all the time, and is the same process."""
    row = machine.wait(job, "RUNNING")
    assert (row["attempt"], machine.pid_of(job)) == (1, pid)


def test_it_starts_and_users_submit(machine: Machine) -> None:
    assert machine.show("mgpu", "ActiveState") == "active"
    job = machine.submit("alice", '--gpus 1 -- sh -c "id -un; grep ^0 /proc/self/cgroup"')
    machine.wait(job, "COMPLETED")
    log = machine.as_user("alice", f"cat ~/.local/state/mgpu/logs/{job}.log")
    assert log.splitlines()[1:] == ["alice", f"0::/system.slice/mgpu-jobs.service/{job}.1"]


def test_systemd_finds_nothing_to_say_about_the_units(machine: Machine) -> None:
    done = machine.run("sh", "-c", f"cd /usr/lib/systemd/system && systemd-analyze verify {UNITS}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_jobs_and_their_supervisors_are_not_in_the_services_group(
    machine: Machine, running: tuple[int, int]
) -> None:
    assert len(machine.processes("mgpu")) == 2  # launcher, scheduler
    jobs = machine.processes("mgpu-jobs")
    assert running[1] in jobs
    assert len(jobs) == 4  # the job, its supervisor, the next supervisor, the keeper of the group


def test_the_scheduler_is_confined(machine: Machine) -> None:
    launcher = machine.pid()
    (scheduler,) = set(machine.processes("mgpu")) - {launcher}
    status = dict(
        line.split(":\t", 1) for line in machine.ok("cat", f"/proc/{scheduler}/status").splitlines()
    )
    uid, gid = machine.shell("id -u mgpu; id -g mgpu").split()
    assert status["Uid"].split() == [uid] * 4
    assert status["Gid"].split() == [gid] * 4
    assert status["Groups"].split() == [gid]
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert machine.ok("readlink", f"/proc/{scheduler}/exe") == machine.ok(
        "readlink", "-f", "/usr/bin/python3"
    )


def test_what_the_scheduler_can_open_is_its_own_state(machine: Machine) -> None:
    for path in ("/etc/shadow", "/home/alice/.bashrc", "/run/mgpu/lock", "/etc/mgpu/x"):
        machine.shell("chmod 700 /home/alice")
        done = machine.run("runuser", "-u", "mgpu", "--", "sh", "-c", f"exec 3<>{path}")
        assert "Permission denied" in done.stderr, path
    (scheduler,) = set(machine.processes("mgpu")) - {machine.pid()}
    links = machine.shell(f"for fd in /proc/{scheduler}/fd/*; do readlink $fd; done").split("\n")
    files = {link.removesuffix(" (deleted)") for link in links if link.startswith("/")}
    own = {f"/var/lib/mgpu/{name}" for name in ("mgpu.db", "mgpu.db-wal", "mgpu.db-shm", "lock")}
    assert files - own <= {"/dev/null", "/memfd:mgpu-payload", "/memfd:mgpu-settings"}


def test_a_restart_touches_no_job(machine: Machine, running: tuple[int, int]) -> None:
    before = machine.pid()
    machine.ok("systemctl", "restart", "mgpu")
    assert machine.pid() != before
    is_untouched(machine, *running)


def test_nobody_is_refused_during_restarts(machine: Machine) -> None:
    asking = machine.begin(
        "bob", "for n in $(seq 15); do mgpu_queue >/dev/null || echo refused; done; echo asked"
    )
    for _ in range(4):
        machine.ok("systemctl", "restart", "mgpu")
    assert asking.communicate()[0] == "asked\n"


def test_a_job_that_ends_while_the_service_is_stopped(machine: Machine) -> None:
    machine.as_user("alice", "mkfifo pipe")
    job = machine.submit("alice", '--gpus 1 -- sh -c "read line < pipe; exit 5"')
    machine.wait(job, "RUNNING")
    pid = machine.pid_of(job)
    machine.ok("systemctl", "stop", "mgpu")
    machine.as_user("alice", "echo go > pipe")
    eventually(lambda: machine.run("kill", "-0", str(pid)).returncode == 1)
    machine.ok("systemctl", "start", "mgpu")
    assert machine.wait(job, "FAILED")["code"] == 5


def test_stop_leaves_jobs_and_a_request_starts_it_again(
    machine: Machine, running: tuple[int, int]
) -> None:
    machine.ok("systemctl", "stop", "mgpu")
    assert machine.show("mgpu", "ActiveState") == "inactive"
    assert machine.run("kill", "-0", str(running[1])).returncode == 0
    machine.as_user("bob", "mgpu_queue")
    assert machine.show("mgpu", "ActiveState") == "active"
    is_untouched(machine, *running)


def test_kill_9_of_everything_but_the_jobs(machine: Machine, running: tuple[int, int]) -> None:
    before = machine.pid()
    machine.ok("kill", "-9", *map(str, machine.processes("mgpu")))
    eventually(machine.pid, until=lambda pid: pid not in (0, before))
    is_untouched(machine, *running)


def test_kill_9_of_the_process_that_holds_the_jobs_unit(
    machine: Machine, running: tuple[int, int]
) -> None:
    holder = machine.pid("mgpu-jobs")
    assert machine.ok("cat", f"/proc/{holder}/comm") == "mgpu-jobs\n"
    machine.ok("kill", "-9", str(holder))
    eventually(lambda: machine.show("mgpu-jobs", "Result"), until=lambda seen: seen == "signal")
    is_untouched(machine, *running)
    machine.ok("systemctl", "restart", "mgpu")
    is_untouched(machine, *running)
    told = machine.submit("bob", f"--gpus 1 --output told {STUBBORN}")
    machine.wait(told, "RUNNING")
    machine.ok("systemctl", "stop", "mgpu-jobs")
    assert "told" in machine.as_user("bob", "cat told")
    machine.ok("systemctl", "start", "mgpu")
    assert machine.wait(told, "RUNNING")["attempt"] == 2
    machine.as_user("bob", f"mgpu_cancel {told}")


@pytest.fixture
def impatient(machine: Machine) -> Iterator[None]:
    """A watchdog that waits two seconds."""
    folder = "/etc/systemd/system/mgpu.service.d"
    machine.shell(f"mkdir -p {folder}; printf '[Service]\\nWatchdogSec=2\\n' > {folder}/test.conf")
    machine.shell("systemctl daemon-reload; systemctl restart mgpu")
    yield
    machine.shell(f"rm -r {folder}; systemctl daemon-reload; systemctl restart mgpu")


def test_a_launcher_that_hangs_is_replaced(
    machine: Machine, impatient: None, running: tuple[int, int]
) -> None:
    before = machine.pid()
    machine.ok("kill", "-STOP", str(before))
    eventually(machine.pid, until=lambda pid: pid not in (0, before), timeout=15)
    assert "Watchdog timeout" in machine.log()
    is_untouched(machine, *running)


def test_a_scheduler_that_hangs_is_replaced(
    machine: Machine, impatient: None, running: tuple[int, int]
) -> None:
    launcher = machine.pid()
    (before,) = set(machine.processes("mgpu")) - {launcher}
    machine.ok("kill", "-STOP", str(before))

    def replaced() -> bool:
        return before not in machine.processes("mgpu") and "scheduler-hung" in machine.log()

    eventually(replaced, timeout=15)
    assert machine.pid() == launcher
    is_untouched(machine, *running)


def test_a_reload_restarts_nothing(machine: Machine, running: tuple[int, int]) -> None:
    before = machine.pid()
    machine.ok("systemctl", "reload", "mgpu")
    eventually(lambda: machine.log(), until=lambda log: "reload" in log)
    assert machine.pid() == before
    is_untouched(machine, *running)


def test_a_bad_configuration_is_one_line_and_no_loop(machine: Machine) -> None:
    good = machine.ok("cat", "/etc/mgpu/config.toml")
    machine.shell("echo '[gpu]' >> /etc/mgpu/config.toml")
    assert machine.run("systemctl", "restart", "mgpu").returncode != 0
    status = machine.run("systemctl", "status", "--no-pager", "--full", "mgpu").stdout
    assert "/etc/mgpu/config.toml:" in status
    assert "did you mean" in status
    assert machine.show("mgpu", "ActiveState") == "failed"
    assert machine.show("mgpu", "NRestarts") == "0"
    machine.shell("systemctl reset-failed mgpu.socket mgpu-admin.socket mgpu || true")
    machine.configure(good)


def test_a_group_of_users_keeps_others_out_of_the_socket_that_systemd_made(
    machine: Machine,
) -> None:
    good = machine.ok("cat", "/etc/mgpu/config.toml")
    machine.shell("groupadd gpu-users; usermod -a -G gpu-users alice")
    machine.configure(good + '\n[access]\ngroup = "gpu-users"\n')
    machine.as_user("alice", "mgpu_queue")
    done = machine.run("runuser", "-l", "bob", "-c", "mgpu_srun --gpus 1 -- true")
    assert done.returncode != 0
    assert "access.group" in done.stderr
    machine.configure(good)
    machine.as_user("bob", "mgpu_queue")


def test_status_and_journal_can_be_read(machine: Machine, running: tuple[int, int]) -> None:
    status = machine.ok("systemctl", "status", "--no-pager", "mgpu")
    assert "mgpu, a scheduler that shares this machine's GPUs" in status
    assert 'Status: "Answering users"' in status
    lines = [line.split(": ", 1)[1] for line in machine.log("-b").splitlines() if "mgpud[" in line]
    assert any(line.startswith("INFO Ready action=ready") for line in lines)
    odd = [line for line in lines if line.split()[0] not in ("INFO", "WARNING", "ERROR")]
    assert all(line.startswith("mgpud: ") for line in odd), odd
    assert "Traceback" not in machine.log()


def test_the_jobs_unit_ends_jobs_that_go_on_later(machine: Machine) -> None:
    machine.as_user("alice", "mgpu_cancel --me")
    job = machine.submit("alice", f"--gpus 1 --output told {STUBBORN}")
    machine.wait(job, "RUNNING")
    machine.ok("systemctl", "stop", "mgpu-jobs")
    assert machine.show("mgpu", "ActiveState") == "inactive"
    assert machine.run("pgrep", "-u", "alice", "-x", "sh").stdout == ""
    machine.ok("systemctl", "start", "mgpu")
    row = machine.wait(job, "RUNNING")
    assert row["attempt"] == 2
    assert "told" in machine.as_user("alice", "cat told")
    machine.as_user("alice", f"mgpu_cancel {job}")


def test_it_can_be_stopped_and_started_in_a_row(machine: Machine) -> None:
    for _ in range(7):
        machine.shell(
            f"systemctl stop {UNITS} && systemctl start mgpu.socket mgpu-admin.socket mgpu"
        )
    machine.ok("mgpu_queue")


def test_descriptors_of_systemd_do_not_reach_jobs(machine: Machine) -> None:
    machine.as_user("alice", "mgpu_srun --wait --gpus 0 --output fds -- ls /proc/self/fd")
    assert machine.as_user("alice", "tail -n +2 fds").split() == ["0", "1", "2", "3"]
