"""What a job is and inherits, judged from inside the job and by strace (checks 11 to 21)."""

from __future__ import annotations

import grp
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mgpu.privileged import identity
from tests.lib import processes
from tests.lib.fake_scheduler import FakeScheduler
from tests.lib.users import User, make
from tests.lib.waiting import eventually

PROBE = """
import json, os, resource
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status"))
links = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) < 3
         or os.path.exists(f"/proc/self/fd/{fd}")}
try:
    tty = os.ttyname(0)
except OSError:
    tty = None
print(json.dumps({
    "ids": [os.getresuid(), os.getresgid()],
    "groups": sorted(os.getgroups()),
    "status": {key: value.strip() for key, value in status.items()},
    "fds": sorted(map(int, links)),
    "umask": os.umask(0), "nice": os.nice(0), "cwd": os.getcwd(),
    "oom": int(open("/proc/self/oom_score_adj").read()),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "session": os.getsid(0) == os.getpid(), "tty": open("/proc/self/stat").read().split()[6],
    "locks": open("/proc/locks").read().splitlines(),
    "env": dict(os.environ),
    "keys": open("/proc/keys").read().count("_ses"),
}))
"""


@pytest.fixture
def scheduler() -> Iterator[FakeScheduler]:
    with FakeScheduler() as found:
        yield found


def look(
    scheduler: FakeScheduler, user: User, job: int = 1, payload: Any = None, **order: Any
) -> dict[str, Any]:
    """What the probe sees as a job of ``user``."""
    out = user.home / f"probe-{job}.json"
    changes = {"output": os.fsencode(out), **(payload or {})}
    run = scheduler.start(
        job, user, ["/usr/bin/python3", "-I", "-c", PROBE], payload=changes, **order
    )
    ended = run.end()
    text = out.read_text()
    assert ended["code"] == 0, text
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def test_ids_groups_and_capabilities_are_the_users(scheduler: FakeScheduler, alice: User) -> None:
    for group in ("lab-one", "lab-two"):
        subprocess.run(["groupadd", "--force", group], check=True)
        subprocess.run(["usermod", "-aG", group, alice.name], check=True)
    seen = look(scheduler, alice)
    assert seen["ids"] == [[alice.uid] * 3, [alice.gid] * 3]
    assert seen["groups"] == sorted(os.getgrouplist(alice.name, alice.gid))
    assert len(seen["groups"]) >= 3
    status = seen["status"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["Uid"].split() == [str(alice.uid)] * 4
    assert status["Gid"].split() == [str(alice.gid)] * 4
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "0")


def test_nothing_is_inherited(alice: User) -> None:
    scheduler = FakeScheduler(prefix=["nice", "-n", "-5", "nohup"])
    scheduler.launch(env={"MGPU_TEST_SECRET": "hunter2", "LD_LIBRARY_PATH": "/nonexistent"})
    try:
        limits = [[7, 512, 1024], [4, 0, 0]]  # RLIMIT_NOFILE, RLIMIT_CORE
        seen = look(scheduler, alice, payload={"umask": 0o027, "rlimits": limits})
    finally:
        scheduler.close()
    status = seen["status"]
    python_ignores = 0x1001000  # the probe is Python, which ignores SIGPIPE and SIGXFSZ itself
    assert int(status["SigBlk"], 16) == 0
    assert int(status["SigIgn"], 16) & ~python_ignores == 0
    assert seen["fds"] == [0, 1, 2]
    pid = status["Pid"]
    assert not [lock for lock in seen["locks"] if f" {pid} " in lock]
    assert (seen["umask"], seen["nice"], seen["oom"]) == (0o027, 0, 0)
    assert (seen["nofile"], seen["core"]) == ([512, 1024], [0, 0])
    assert seen["session"]
    assert seen["tty"] == "0"
    assert not {"MGPU_TEST_SECRET", "LD_LIBRARY_PATH"} & set(seen["env"])
    assert "NOTIFY_SOCKET" not in seen["env"]


def test_ignored_signals_are_default_in_the_program(scheduler: FakeScheduler, alice: User) -> None:
    out = alice.home / "signals"
    argv = ["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]
    run = scheduler.start(1, alice, argv, payload={"output": os.fsencode(out)})
    assert run.end()["code"] == 0
    lines = out.read_text().splitlines()[1:]
    assert [int(line.split()[1], 16) for line in lines] == [0, 0]


def test_the_environment_in_its_order(scheduler: FakeScheduler, alice: User) -> None:
    forged = {
        "HOME": "/root-home",
        "USER": "root",
        "LOGNAME": "root",
        "SHELL": "/bin/evil",
        "CUDA_VISIBLE_DEVICES": "7",
        "MGPU_JOB_ID": "1",
        "MGPU_ARRAY_TASK_ID": "9",
        "CUDA_DEVICE_ORDER": "FASTEST_FIRST",
        "PYTHONUNBUFFERED": "0",
        "MINE": "kept=1",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "MGPU_RUNTIME_DIR": "/run/elsewhere",
    }
    entries = [f"{name}={value}".encode() for name, value in forged.items()]
    gpus = {"gpus": [2, 0], "uuids": ["GPU-c", "GPU-a"], "minors": [2, 0]}
    env = look(
        scheduler,
        alice,
        job=42,
        payload={"env": [*entries, b"PATH=/usr/bin:/bin", b"bad name=1", b"=x", b"none"]},
        **gpus,
        restarts=3,
        gpu_mem=8000,
    )["env"]
    wanted = {
        "HOME": str(alice.home),
        "USER": alice.name,
        "LOGNAME": alice.name,
        "SHELL": "/bin/bash",
        "MGPU_JOB_ID": "42",
        "MGPU_JOB_NAME": "test",
        "MGPU_GPU_IDS": "2,0",
        "MGPU_GPU_UUIDS": "GPU-c,GPU-a",
        "MGPU_RESTART_COUNT": "3",
        "CUDA_VISIBLE_DEVICES": "2,0",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "NVIDIA_VISIBLE_DEVICES": "GPU-c,GPU-a",
        "PYTHONUNBUFFERED": "0",
        "MINE": "kept=1",
        "MGPU_RUNTIME_DIR": "/run/elsewhere",
    }
    assert {name: env.get(name) for name in wanted} == wanted
    assert not {"MGPU_ARRAY_TASK_ID", "bad name", ""} & set(env)


@pytest.mark.parametrize("fault", ["error=EPERM", "retval=0"])
@pytest.mark.parametrize("call", ["setgroups", "setresgid", "setresuid"])
def test_a_failing_drop_executes_nothing(call: str, fault: str, alice: User) -> None:
    """Also when the kernel says that it worked, and it did not (check 17)."""
    trace = Path("/run/strace-inject")
    marker = alice.home / "ran"
    with FakeScheduler() as scheduler:
        tracing = [f"trace={call},execve", "-e", f"inject={call}:{fault}:when=1"]
        with traced(scheduler, trace, tracing):
            refused = scheduler.start(1, alice, ["touch", str(marker)]).refusal()
    assert refused["stage"] in ("identity", "supervisor")
    assert not refused["transient"]
    assert not marker.exists()
    assert not [call for calls in calls_of(trace).values() for call in calls if "execve" in call]


@pytest.mark.parametrize("call", ["setgroups", "setresgid", "setresuid", "none"])
def test_a_drop_that_did_nothing_is_found_out(
    call: str, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``become_user`` itself, in a child of the test; without a fault it succeeds."""
    if call != "none":
        monkeypatch.setattr(os, call, lambda *_ids: None)
    pid = os.fork()
    if pid == 0:
        try:
            identity.become_user(alice.uid, alice.gid, [alice.gid])
            os._exit(0)
        except OSError:
            os._exit(1)
        finally:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == (0 if call == "none" else 1)


@contextmanager
def traced(scheduler: FakeScheduler, trace: Path, expression: list[str]) -> Iterator[None]:
    """strace on the launcher and all that it forks from now on."""
    command = ["strace", "-qq", "-ff", "-o", str(trace), "-p", str(scheduler.pid), "-e"]
    tracer = subprocess.Popen([*command, *expression])
    attached = f"TracerPid:\t{tracer.pid}"
    status = Path(f"/proc/{scheduler.pid}/status")
    try:
        eventually(lambda: attached in status.read_text(), what="strace is attached")
        drop_spare(scheduler)  # it was forked before
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def calls_of(trace: Path) -> dict[str, list[str]]:
    """The system calls of each process, by pid."""
    files = trace.parent.glob(f"{trace.name}.*")
    found = {file.suffix[1:]: file.read_text().splitlines() for file in files}
    for pid in found:
        trace.with_name(f"{trace.name}.{pid}").unlink()
    return found


def drop_spare(scheduler: FakeScheduler) -> None:
    """End the process that waits to become a supervisor, so that the next start forks."""
    spare = scheduler.spare()
    os.kill(spare, signal.SIGKILL)
    gone(spare)


def gone(pid: int) -> None:
    eventually(lambda: processes.read(pid) is None, what=f"{pid} is reaped")


def test_the_order_of_system_calls(alice: User) -> None:
    """Security rests on it: session, keyring, groups, gid, uid, attempts to regain root, exec."""
    trace = Path("/run/strace-order")
    calls = "setsid,keyctl,setgroups,setresgid,setresuid,prctl,chdir,execve,umask,openat,dup2"
    out = alice.home / "order-out"
    with FakeScheduler() as scheduler, traced(scheduler, trace, [f"trace={calls}"]):
        scheduler.start(1, alice, ["/bin/true"], payload={"output": os.fsencode(out)}).end()
    [mine] = [calls for calls in calls_of(trace).values() if 'execve("/bin/true"' in "".join(calls)]
    uid, gid = alice.uid, alice.gid
    wanted = [
        "setsid()",
        "keyctl(KEYCTL_JOIN_SESSION_KEYRING",
        "setgroups(",
        f"setresgid({gid}, {gid}, {gid})",
        f"setresuid({uid}, {uid}, {uid})",
        "setresuid(0, 0, 0)",
        "setresgid(0, 0, 0)",
        "setgroups(1, [0])",
        "prctl(PR_SET_PDEATHSIG, SIGKILL)",
        "umask(",
        f'chdir("{alice.home}")',
        f'openat(AT_FDCWD, "{out}"',
        "dup2(",
        'execve("/bin/true"',
    ]
    places = [next(i for i, call in enumerate(mine) if call.startswith(part)) for part in wanted]
    assert places == sorted(places), dict(zip(wanted, places, strict=True))
    regain = mine[places[5] : places[7] + 1]
    assert all("EPERM" in call for call in regain if "0" in call), regain


def test_root_touches_no_path_of_the_user(alice: User) -> None:
    """No path-taking system call below the home before the drop (check 25)."""
    trace = Path("/run/strace-paths")
    payload = {"output": None, "activate": {"mode": "auto", "path": b""}}
    with FakeScheduler() as scheduler, traced(scheduler, trace, ["trace=%file,setresuid"]):
        scheduler.start(1, alice, ["/bin/true"], payload=payload).end()
    touching = 0
    for calls in calls_of(trace).values():
        dropped = [i for i, call in enumerate(calls) if call.startswith(f"setresuid({alice.uid},")]
        touched = [i for i, call in enumerate(calls) if str(alice.home) in call]
        assert not touched or dropped[0] < touched[0]
        touching += len(touched)
    assert touching, "the job opened its log"


@pytest.mark.parametrize(
    "uid", [0, -1, 2**32 - 1, 2**32, 999, True, "0", None, 1.5], ids=lambda uid: repr(uid)
)
def test_no_such_uid_is_started(scheduler: FakeScheduler, alice: User, uid: object) -> None:
    scheduler.start(1, alice, ["/bin/true"], uid=uid)
    refused = scheduler.hear("refused")
    assert refused["stage"] in ("order", "account")
    assert (refused["job"], refused["attempt"]) == (1, 1)


def test_root_runs_where_the_configuration_says_so(alice: User) -> None:
    root = User("root", 0, 0, Path("/"))
    with FakeScheduler({"access.allow_root": True}) as scheduler:
        assert scheduler.start(1, root, ["/bin/true"]).end()["code"] == 0


def test_the_account_is_resolved_anew(scheduler: FakeScheduler, alice: User) -> None:
    run = scheduler.start(1, alice, ["/bin/true"], user="somebody-else")
    refused = run.refusal()
    assert (refused["stage"], refused["transient"]) == ("account", True)
    assert alice.name in refused["detail"]
    assert "somebody-else" in refused["detail"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (["usermod", "-s", "/usr/sbin/nologin"], "log in"),
        (["chage", "-E", "2020-01-01"], "expired"),
        (["userdel"], "no account"),
    ],
)
def test_an_account_that_may_not_run_waits(
    scheduler: FakeScheduler, users: Any, change: list[str], word: str
) -> None:
    dora = make(f"dora{change[0][:5]}{len(word)}")
    subprocess.run([*change, dora.name], check=True)
    refused = scheduler.start(1, dora, ["/bin/true"]).refusal()
    assert (refused["stage"], refused["transient"]) == ("account", True)
    assert word in refused["detail"]
    scheduler.say({"op": "account", "uid": dora.uid})
    assert word in scheduler.hear("account")["problem"]


def test_who_is_that(scheduler: FakeScheduler, alice: User) -> None:
    scheduler.say({"op": "account", "uid": alice.uid})
    assert scheduler.hear("account") == {
        "op": "account",
        "uid": alice.uid,
        "user": alice.name,
        "group_names": sorted(
            grp.getgrgid(gid).gr_name for gid in os.getgrouplist(alice.name, alice.gid)
        ),
        "problem": "",
    }


def test_exhausted_process_limit_is_reported(users: Any, alice: User) -> None:
    """setresuid succeeds with the limit exceeded, and execve gives EAGAIN (check 20)."""
    scheduler = FakeScheduler(prefix=["prlimit", "--nproc=2:2"])
    scheduler.launch()
    try:
        sleepers = [
            subprocess.Popen(["setpriv", f"--reuid={alice.uid}", "--clear-groups", "sleep", "60"])
            for _ in range(4)
        ]
        refused = scheduler.start(1, alice, ["/bin/true"]).refusal()
        assert (refused["stage"], refused["transient"]) == ("exec", True)
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    finally:
        scheduler.close()


def test_a_job_cannot_touch_its_supervisor(scheduler: FakeScheduler, alice: User) -> None:
    """kill, ptrace, memory, socket: EPERM or EACCES each (check 38)."""
    attack = """
import os, ctypes, socket, sys, errno
boss = os.getppid()
def code(do):
    try: do()
    except OSError as error: return errno.errorcode[error.errno]
    return "done"
def ptrace():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, boss, 0, 0) == -1: raise OSError(ctypes.get_errno(), "")
print(code(lambda: os.kill(boss, 9)), code(lambda: os.kill(boss, 19)), code(ptrace),
      code(lambda: open(f"/proc/{boss}/mem", "rb")), code(lambda: os.listdir(f"/proc/{boss}/fd")),
      code(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(sys.argv[1])))
"""
    out = alice.home / "attack"
    argv = ["/usr/bin/python3", "-I", "-c", attack, str(scheduler.folder(1) / "socket")]
    run = scheduler.start(1, alice, argv, payload={"output": os.fsencode(out)})
    assert run.end()["code"] == 0
    assert set(out.read_text().splitlines()[-1].split()) <= {"EPERM", "EACCES"}


def test_the_supervisor_is_not_root(scheduler: FakeScheduler, alice: User) -> None:
    run = scheduler.start(1, alice, ["sleep", "60"])  # job
    pid = run.until("running")["pid"]
    process = processes.read(pid)
    assert process is not None
    text = Path(f"/proc/{process.parent}/status").read_text()
    status = dict(line.split(":\t", 1) for line in text.splitlines())
    assert status["Uid"].split() == [status["Uid"].split()[0]] * 4
    assert status["Uid"].split()[0] not in ("0", str(alice.uid))
    assert (int(status["CapEff"], 16), int(status["CapPrm"], 16)) == (1 << 5, 1 << 5)
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    fds = os.listdir(f"/proc/{process.parent}/fd")
    links = [os.readlink(f"/proc/{process.parent}/fd/{fd}") for fd in fds]
    assert not [link for link in links if "settings" in link or link == str(scheduler.runtime)]
    run.stop()
    assert run.end()["cause"] == "cancel"
