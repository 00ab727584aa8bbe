"""What a job leaves behind and cannot do to its keeper: checks 36 to 43, through the whole chain.

The supervisor by itself is held by ``test_supervisor.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.lib import attack, cgroups, processes
from tests.lib.daemon import BIN, Daemon
from tests.lib.users import User, as_user
from tests.lib.waiting import eventually
from tests.lib.wire import frame

PYTHON = "/usr/bin/python3"

#: Three ways to get out of a tree, all deaf to everything but SIGKILL, and a leader that waits.
ESCAPES = """
trap '' TERM HUP INT
setsid sleep 601 &
(setsid bash -c 'trap "" TERM; (sleep 602 &) ; exec sleep 603' &)
nohup sleep 604 >/dev/null 2>&1 &
disown -a
while :; do wait; sleep 605; done
"""


def commands_of(user: User) -> set[str]:
    """The command lines of what runs as ``user``."""
    return {process.command for process in processes.of_user(user.uid)}


def other_life(user: User) -> subprocess.Popen[bytes]:
    """A process of the user that has nothing to do with mgpu."""
    return subprocess.Popen(as_user(user, ["sleep", "777"]))


def test_what_hides_from_its_job_goes_with_it(daemon: Daemon, alice: User) -> None:
    """Check 36: setsid, double fork, ignored signals; the user's other processes stay."""
    other = other_life(alice)
    job = daemon.submit(alice, "--", "bash", "-c", ESCAPES)
    started = {f"sleep {number}" for number in (601, 602, 603, 604, 605)}
    eventually(lambda: commands_of(alice), until=lambda seen: started <= seen)
    daemon.cancel(alice, str(job))
    # The grace is 2 s here; five more are promised.
    eventually(lambda: commands_of(alice), until=lambda seen: seen == {"sleep 777"}, timeout=7)
    assert daemon.wait_state(job, "CANCELLED")["attempt"] == 1
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_fork_bomb_is_cancelled(daemon: Daemon, alice: User) -> None:
    """Check 37: its cgroup is empty afterwards, and mgpu answered all the time."""
    bomb = "trap '' TERM; b() { b & b; }; ulimit -u 400; b 2>/dev/null"
    job = daemon.submit(alice, "-o", "/dev/null", "--", "bash", "-c", bomb)
    eventually(lambda: len(processes.of_user(alice.uid)), until=lambda count: count > 100)
    assert daemon.cancel(alice, str(job)).returncode == 0
    daemon.wait_state(job, "CANCELLED")
    assert processes.of_user(alice.uid) == []
    eventually(lambda: cgroups.groups_of(daemon.name), until=lambda groups: groups == [])


ATTACK = """
import ctypes, glob, json, os, signal, socket, sys
state, runtime = sys.argv[1:]
keeper = os.getppid()
def tried(act):
    try:
        act()
    except OSError as error:
        return error.errno
    return 0
def ptrace(request):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(request, keeper, None, None) == -1:
        raise OSError(ctypes.get_errno(), "ptrace")
def connect():
    for path in [f"{state}/attempts/1.1/socket"]:
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(path)
print(json.dumps({
    "keeper": keeper,
    **{f"signal {s}": tried(lambda s=s: os.kill(keeper, s)) for s in (0, 9, 15, 19)},
    "attach": tried(lambda: ptrace(16)), "seize": tried(lambda: ptrace(0x4206)),
    "memory": tried(lambda: open(f"/proc/{keeper}/mem", "rb")),
    "environment": tried(lambda: open(f"/proc/{keeper}/environ", "rb").read()),
    "descriptors": tried(lambda: os.listdir(f"/proc/{keeper}/fd")),
    "limits": tried(lambda: __import__("resource").prlimit(keeper, 7, (1, 1))),
    "priority": tried(lambda: os.setpriority(os.PRIO_PROCESS, keeper, 19)),
    "scheduling": tried(lambda: os.sched_setaffinity(keeper, {0})),
    "killed with": tried(lambda: open(f"/proc/{keeper}/oom_score_adj", "w").write("1000")),
    "socket": tried(connect),
    "scripts": tried(lambda: os.listdir(f"{runtime}/scripts")),
    "own cgroup": tried(lambda: open("/sys/fs/cgroup/cgroup.procs", "w").write("0")),
}))
"""
EPERM, EACCES = 1, 13


def test_a_job_cannot_touch_its_supervisor(daemon: Daemon, alice: User) -> None:
    """Check 38: each attempt is refused by the kernel, and the status stays true."""
    out = alice.home / "attack.out"
    paths = [str(daemon.state), str(daemon.runtime)]
    argv = ["/usr/bin/python3", "-I", "-c", ATTACK, *paths]
    job = daemon.submit(alice, "--no-activate", "-o", str(out), "--", *argv)
    daemon.wait_state(job, "COMPLETED")
    tried = json.loads(out.read_text().splitlines()[-1])
    del tried["keeper"]
    if not Path("/sys/fs/cgroup/cgroup.procs").exists():  # a machine with version 1 beside it
        del tried["own cgroup"]
    assert {name: code for name, code in tried.items() if code not in (EPERM, EACCES)} == {}


#: In a mount namespace of its own: a process that looks like a supervisor, and does not end.
PRETENCE = """
import ctypes, os, signal, struct, sys
os.makedirs(sys.argv[1])
folder = os.open(sys.argv[1], os.O_RDONLY)
header, sets = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", 0x20, 0x20, 0, 0, 0, 0)
assert ctypes.CDLL(None).capset(header, sets) == 0
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
input()
"""


def test_nobody_is_taken_for_a_supervisor(daemon: Daemon, alice: User) -> None:
    """Check 38: it would be waited for when the machine goes down."""
    attempts = daemon.state / "attempts"
    script = f"mount -t tmpfs x {daemon.state.parent} && exec python3 -I -c '{PRETENCE}' {attempts}"
    words = as_user(alice, ["unshare", "-Urm", "sh", "-c", script.replace("python3", PYTHON)])
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as pretender:
        assert pretender.stdout is not None
        try:
            assert pretender.stdout.readline() == "ready\n"
            shown = os.listdir(f"/proc/{pretender.pid}/fd")
            links = [os.readlink(f"/proc/{pretender.pid}/fd/{number}") for number in shown]
            assert str(attempts) in links
            ended = [str(BIN / "mgpud"), "--config", str(daemon.config_file), "end-jobs"]
            ended += ["--timeout", "1"]
            done = subprocess.run(ended, capture_output=True, text=True, timeout=20)
            assert (done.returncode, "supervisors=0" in done.stderr) == (0, True), done.stderr
        finally:
            pretender.kill()


def test_a_pid_that_was_a_jobs_is_not_killed(daemon: Daemon, alice: User, bob: User) -> None:
    """Check 39: somebody else's process gets the number; cancel and restart leave it alone."""
    job = attack.submit(daemon, alice, "/bin/sleep", "600")
    daemon.wait_state(job, "RUNNING")
    (pid,) = [process.pid for process in processes.of_user(alice.uid)]
    daemon.kill9()
    os.kill(pid, 9)
    eventually(lambda: not processes.of_user(alice.uid))
    eventually(lambda: processes.read(pid) is None, what="its supervisor has reaped it")
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    stranger = other_life(bob)
    assert stranger.pid == pid, "the number was free"
    daemon.start()
    daemon.cancel(alice, str(job))
    row = daemon.wait_state(job, "FAILED")
    assert row["signal"] == 9
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_when_the_leader_exits_the_job_is_over(daemon: Daemon, alice: User) -> None:
    """Check 40: the code is the leader's; the rest is killed before the GPUs are given out."""
    rest = "for i in {1..100}; do (trap '' TERM; setsid sleep 601) & done"
    line = f"{rest}; while [ $(pgrep -c -u $(id -u) sleep) -lt 100 ]; do :; done; exit 5"
    seen = alice.home / "seen"
    job = daemon.submit(alice, "--gpus", "2", "--", "bash", "-c", line)
    count = f"pgrep -c -u $(id -u) sleep > {seen}; true"
    after = daemon.submit(alice, "--gpus", "2", "--", "sh", "-c", count)
    assert daemon.wait_state(job, "FAILED")["code"] == 5
    daemon.wait_state(after, "COMPLETED")
    assert seen.read_text() == "0\n"


def test_the_next_attempt_starts_when_the_last_is_gone(daemon: Daemon, alice: User) -> None:
    """Check 41: same id, attempt + 1; each attempt counts the processes of its user."""
    out = alice.home / "attempts.out"
    count = "echo $MGPU_JOB_ID $MGPU_RESTART_COUNT $(pgrep -c -u $(id -u) sleep) >> " + str(out)
    stay = "[ $MGPU_RESTART_COUNT = 1 ] || { setsid sleep 601 & sleep 602; sleep 603; }"
    line = f"trap '' TERM; {count}; {stay}"
    job = daemon.submit(alice, "--time-limit", "1", "--", "bash", "-c", line)
    row = daemon.wait_state(job, "COMPLETED")
    assert (row["attempt"], row["restarts"]) == (2, 1)
    assert out.read_text().splitlines() == [f"{job} 0 0", f"{job} 1 0"]


def test_jobs_are_cancelled_while_they_start(daemon: Daemon, alice: User) -> None:
    """Check 42: in one breath with the submission: no process, no GPU held, one end."""
    jobs = range(1, 21)
    with attack.wire_as(alice, daemon.socket) as wire:
        for job in jobs:
            submission = attack.submission("/bin/sleep", "600", gpus=1, gpu_mem=100)
            wire.sock.sendall(frame(submission) + frame({"op": "cancel", "jobs": [job]}))
            assert wire.receive() == {"ok": {"first": job, "count": 1}}
            assert wire.receive()["ok"]["jobs"][0][1] in ("cancelled", "cancelling")
    for job in jobs:
        daemon.wait_state(job, "CANCELLED")
    assert processes.of_user(alice.uid) == []
    info = attack.ask(alice, daemon.socket, {"op": "info"})["ok"]
    assert [gpu["reserved"] for gpu in info["gpus"]] == [0, 0]
    assert (info["running"], info["pending"]) == (0, 0)


def test_a_second_daemon_leaves_the_first_alone(
    make_daemon: Callable[..., Daemon], alice: User
) -> None:
    """Check 43: the same runtime folder, or the same state: it ends, and says who is there."""
    daemon = make_daemon()
    job = attack.submit(daemon, alice, "/bin/sleep", "600")
    daemon.wait_state(job, "RUNNING")
    before = (daemon.pid, daemon.scheduler_pid())
    other = {"MGPU_PATHS_RUNTIME_DIR": "/run/mgpu-other", "MGPU_PATHS_CGROUP": "mgpu-other"}
    for env in ({}, other):
        done = subprocess.run(
            [BIN / "mgpud", "--config", daemon.config_file],
            env={"PATH": "/usr/bin:/bin", **env},
            capture_output=True,
            text=True,
            timeout=5,
        )
        assert done.returncode not in (0, None)
        assert "another mgpud" in done.stderr
    assert (daemon.pid, daemon.scheduler_pid()) == before
    assert daemon.job(job)["state"] == "RUNNING"
