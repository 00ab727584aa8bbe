"""The launcher: start-up, trust, locks, sockets, the scheduler's life, orders that are no good."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib import cgroups, processes
from tests.lib.fake_scheduler import FakeScheduler
from tests.lib.users import User, as_user, find, run_as
from tests.lib.waiting import eventually, never


@pytest.fixture
def scheduler(users: object) -> Iterator[FakeScheduler]:
    with FakeScheduler() as found:
        yield found


@pytest.fixture
def idle(users: object) -> Iterator[FakeScheduler]:
    """A launcher that has not been started."""
    found = FakeScheduler()
    yield found
    found.close()


#: Locks each of the paths that it can open, and says which.
LOCKS = """
import fcntl, os, sys
held = []
for path in sys.argv[1:]:
    try:
        fcntl.flock(os.open(path, os.O_RDONLY | os.O_NONBLOCK), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        continue
    held.append(path)
print(*held, flush=True)
sys.stdin.read()
"""


def refused(scheduler: FakeScheduler, timeout: float = 5.0) -> str:
    """Start a launcher that must not start; what it says, which is one line."""
    scheduler.launch(wait=False)
    assert scheduler.process is not None
    assert scheduler.process.wait(timeout) != 0
    said = [line for line in scheduler.log().splitlines() if "warning" not in line]
    assert len(said) == 1, said
    assert "action=cannot-start" in said[0]
    return said[0]


# ---------------------------------------------------------------- start


def test_folders_and_sockets_have_their_final_modes(scheduler: FakeScheduler) -> None:
    def seen(path: Path) -> tuple[int, int, str]:
        found = path.stat()
        return found.st_uid, found.st_gid, stat.filemode(found.st_mode)

    service, admins = find("mgpu"), os.stat(scheduler.runtime / "admin.sock").st_gid
    own = (service.uid, service.gid)
    assert seen(scheduler.runtime) == (0, 0, "drwxr-xr-x")
    assert seen(scheduler.runtime / "mgpu.sock") == (0, 0, "srw-rw-rw-")
    assert seen(scheduler.runtime / "admin.sock") == (0, admins, "srw-rw----")
    assert admins != 0
    assert seen(scheduler.runtime / "scripts") == (0, 0, "drwx--x--x")
    assert seen(scheduler.state) == (*own, "drwx------")
    assert seen(scheduler.state / "attempts") == (*own, "drwx------")


def test_a_group_can_be_demanded(users: object, alice: User, carol: User) -> None:
    subprocess.run(["groupadd", "--force", "gpu-users"], check=True)
    subprocess.run(["usermod", "-aG", "gpu-users", alice.name], check=True)
    with FakeScheduler({"access.group": "gpu-users"}) as scheduler:
        connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"

        def may(user: User, name: str) -> bool:
            argv = ["/usr/bin/python3", "-I", "-c", connect, str(scheduler.runtime / name)]
            return run_as(user, argv).returncode == 0

        assert may(alice, "mgpu.sock")
        assert not may(carol, "mgpu.sock")
        assert may(carol, "admin.sock")
        assert not may(alice, "admin.sock")


def test_sockets_of_systemd_are_taken(idle: FakeScheduler) -> None:
    idle.settings["access.admin_group"] = "nobody-has-this"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(idle.runtime / "given.sock"))
    listener.listen()
    idle.prefix = [
        *("bash", "-c", f'exec 3<&{listener.fileno()}; export LISTEN_PID=$$; exec "$@"', "bash"),
    ]
    os.set_inheritable(listener.fileno(), True)
    idle.inherit = [listener.fileno()]
    idle.launch(env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "user"})
    assert not (idle.runtime / "mgpu.sock").exists()
    assert (idle.runtime / "admin.sock").stat().st_mode & 0o777 == 0o600
    fds = Path(f"/proc/{idle.pid}/fd")
    inode = os.fstat(listener.fileno()).st_ino
    assert f"socket:[{inode}]" in [os.readlink(fd) for fd in fds.iterdir()]
    listener.close()


def test_ready_is_notified(idle: FakeScheduler) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(idle.runtime / "notify"))
        manager.settimeout(5)
        idle.launch(env={"NOTIFY_SOCKET": str(idle.runtime / "notify"), "WATCHDOG_USEC": "400000"})
        idle.say({"op": "ready"})
        heard = {manager.recv(100) for _ in range(3)}
        assert heard == {b"READY=1\nSTATUS=Answering users", b"WATCHDOG=1"}
        idle.stop()
        eventually(lambda: manager.recv(100), until=lambda said: said.startswith(b"STOPPING=1"))


def test_a_second_daemon_is_refused(scheduler: FakeScheduler) -> None:
    for shared, word in (
        ({"paths.runtime_dir"}, f"pid {scheduler.pid}"),
        ({"paths.state_dir"}, str(scheduler.state)),
        ({"paths.cgroup"}, "paths.cgroup"),
    ):
        second = FakeScheduler()
        second.settings.update({key: scheduler.settings[key] for key in shared})
        try:
            said = refused(second)
            assert "another mgpud" in said
            assert word in said
        finally:
            second.settings["paths.cgroup"] = second.name
            second.close()
    scheduler.say({"op": "account", "uid": 4242})
    assert "no account" in scheduler.hear("account")["problem"]


def test_no_lock_of_a_user_keeps_it_from_starting(idle: FakeScheduler, alice: User) -> None:
    """Whatever a user can open of its folders has been locked by one."""
    root = cgroups.v2_root()
    assert root is not None
    group = root / idle.name
    group.mkdir(mode=0o755)  # as systemd makes one
    idle.launch()
    idle.stop()
    folders = [idle.runtime, idle.runtime / "scripts", idle.state, group]
    paths = [str(path) for folder in folders for path in (folder, *folder.iterdir())]
    program = as_user(alice, ["/usr/bin/python3", "-I", "-c", LOCKS, *paths])
    with subprocess.Popen(
        program, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as locks:
        assert locks.stdout is not None
        assert {str(group), str(idle.runtime)} <= set(locks.stdout.readline().split())
        idle.launch()


def test_supervisors_hold_no_lock(scheduler: FakeScheduler, alice: User) -> None:
    run = scheduler.start(1, alice, ["sleep", "600"])  # job
    run.until("running")
    scheduler.kill9()
    scheduler.launch()
    adopted = scheduler.adopt(1)
    adopted.until("running")
    adopted.stop()
    assert adopted.end()["cause"] == "cancel"


@pytest.mark.parametrize("weak", ["state", "runtime", "config", "above", "owner", "package"])
def test_weak_paths_are_refused_by_name(
    idle: FakeScheduler, alice: User, weak: str, tmp_path: Path
) -> None:
    idle.settings["access.admin_group"] = "mgpu-admin"
    config = Path("/run/config.toml")
    config.write_text("")
    config.chmod(0o644)
    idle.settings["config.path"] = str(config)
    bad = {"state": idle.state, "runtime": idle.runtime, "config": config, "owner": config}.get(
        weak
    )
    if weak == "state":
        idle.state.mkdir()
        os.chown(idle.state, find("mgpu").uid, find("mgpu").gid)
    if weak in ("above", "package"):
        bad = Path("/run/weak")
        bad.mkdir(exist_ok=True)
        if weak == "above":
            idle.settings["paths.state_dir"] = str(bad / "inside" / "state")
        else:
            idle.preamble = f"sys.path.append({str(bad / 'modules')!r})"
    assert bad is not None
    if weak == "owner":
        os.chown(bad, alice.uid, -1)
    else:
        bad.chmod(0o775)
    try:
        assert str(bad) in refused(idle)
    finally:
        bad.chmod(0o755)
        os.chown(bad, 0, 0)


def test_a_state_directory_of_others_is_not_taken(idle: FakeScheduler) -> None:
    idle.state.mkdir()
    (idle.state / "precious").write_text("")
    assert str(idle.state) in refused(idle)
    assert idle.state.stat().st_uid == 0


def test_the_service_user_is_nobody_who_may_run_jobs(idle: FakeScheduler, alice: User) -> None:
    idle.settings["access.service_user"] = alice.name
    assert "may run jobs" in refused(idle)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("access.service_user", "nobody-has-this", "useradd"),
        ("access.service_user", "root", "root"),
        ("access.group", "nobody-has-this", "groupadd"),
        ("paths.runtime_dir", "relative", "absolute"),
        ("paths.state_dir", "/", "absolute"),
        ("paths.cgroup", "../up", "cgroup"),
        ("access.min_uid", True, "min_uid"),
    ],
)
def test_unusable_settings(idle: FakeScheduler, key: str, value: object, word: str) -> None:
    cgroup = idle.settings["paths.cgroup"]
    idle.settings[key] = value
    try:
        assert word in refused(idle)
    finally:
        idle.settings["paths.cgroup"] = cgroup


# ---------------------------------------------------------------- the scheduler


def test_the_scheduler_has_no_rights_and_no_more_than_its_descriptors(
    scheduler: FakeScheduler,
) -> None:
    text = Path(f"/proc/{scheduler.stub_pid}/status").read_text()
    status = dict(line.split(":\t", 1) for line in text.splitlines())
    service = find("mgpu")
    assert status["Uid"].split() == [str(service.uid)] * 4
    assert status["Gid"].split() == [str(service.gid)] * 4
    assert status["Groups"].split() == [str(service.gid)]
    assert status["NoNewPrivs"] == "1"
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0, name
    environment = Path(f"/proc/{scheduler.stub_pid}/environ").read_bytes().split(b"\0")
    assert {entry.partition(b"=")[0] for entry in environment if entry} == {b"PATH", b"LANG"}
    folder = f"/proc/{scheduler.stub_pid}/fd"
    # 0, 1, 2, and the stub's own line to the test, once it has given the others away.
    eventually(lambda: os.listdir(folder), until=lambda fds: len(fds) == 4)


def test_a_dead_scheduler_is_replaced_ever_more_slowly(scheduler: FakeScheduler) -> None:
    first = scheduler.stub_pid
    assert scheduler.restart_scheduler()["attempts"] == []
    assert scheduler.stub_pid != first
    scheduler.restart_scheduler()
    scheduler.leave()
    eventually(lambda: scheduler.log().count("action=scheduler-end") == 3)
    never(lambda: scheduler.log().count("action=scheduler-start") > 3, for_seconds=0.2)
    scheduler.take_place()


def test_orders_of_a_scheduler_that_died_are_carried_out(
    scheduler: FakeScheduler, alice: User
) -> None:
    """They were durable before they were given; the next scheduler is told of the attempt."""
    os.kill(scheduler.pid, signal.SIGSTOP)
    run = scheduler.start(1, alice, ["sleep", "600"])  # job
    scheduler.leave()
    os.kill(scheduler.pid, signal.SIGCONT)
    assert scheduler.take_place()["attempts"] == [[1, 1]]
    run.until("running")
    run.stop()
    assert run.end()["cause"] == "cancel"


def test_a_scheduler_that_cannot_run_here_ends_the_daemon(scheduler: FakeScheduler) -> None:
    scheduler.exit_scheduler(78)
    assert scheduler.process is not None
    assert scheduler.process.wait(5) == 78


def test_term_stops_and_leaves_jobs(scheduler: FakeScheduler, alice: User) -> None:
    run = scheduler.start(1, alice, ["sleep", "600"])  # job
    pid = run.until("running")["pid"]
    assert scheduler.stop() == 0
    assert not processes.alive(scheduler.stub_pid)
    assert processes.alive(pid)
    scheduler.launch()
    adopted = scheduler.adopt(1)
    assert adopted.until("running")["pid"] == pid
    adopted.stop()
    adopted.end()
    eventually(lambda: not scheduler.group(1).exists(), what="the cgroup is removed")


def test_a_reader_of_the_configuration_that_fails_changes_nothing(scheduler: FakeScheduler) -> None:
    os.kill(scheduler.pid, signal.SIGHUP)
    told = scheduler.hear("reloaded")
    (problem,) = told["problems"]
    assert problem == "the process that reads the configuration ended with 1"
    assert "action=reload-refused" in scheduler.log()


def test_nonsense_of_the_scheduler_is_survived(scheduler: FakeScheduler) -> None:
    assert scheduler.link is not None
    for data in (b"\xc1", b"", b"\x80", b"x" * 60000):
        if data:
            scheduler.link.send(data)
    for message in ({"op": "fly"}, {"op": "start"}, {"op": "kill"}, {"op": "account", "uid": "0"}):
        scheduler.say(message)
    scheduler.say({"op": "kill", "job": 9, "attempt": 9})
    assert scheduler.hear("killed") == {"op": "killed", "job": 9, "attempt": 9}
