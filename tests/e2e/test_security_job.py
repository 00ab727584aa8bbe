"""What a job is and gets, through the whole chain: checks 11 to 24 of the security requirements.

The single steps of the drop are held by ``test_launcher_identity.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lib import attack, processes
from tests.lib.attack import ask, submission
from tests.lib.daemon import BIN, Daemon
from tests.lib.users import User, make, run_as
from tests.lib.waiting import eventually

PROBE = """
import json, os, resource
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
umask = os.umask(0)
print(json.dumps({
    "status": {key: value.split() for key, value in status.items()},
    "groups": sorted(os.getgroups()), "umask": umask, "nice": os.nice(0), "cwd": os.getcwd(),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "env": dict(os.environ),
    "keys": open("/proc/keys").read(), "cgroup": open("/proc/self/cgroup").read(),
}))
"""

#: Puts a key into a new session keyring, opens a file and a lock, and becomes the command given.
BURDENED = """
import ctypes, fcntl, os, sys
libc = ctypes.CDLL(None)
libc.syscall(250, 1, None)
assert libc.syscall(248, b"user", b"secret-of-root", b"x", 1, -3) > 0
secret = os.open("/etc/shadow", os.O_RDONLY)
fcntl.flock(secret, fcntl.LOCK_SH)
os.set_inheritable(secret, True)
os.setgroups([0, 4242])
os.umask(0)
os.nice(3)
os.execv(sys.argv[1], sys.argv[1:])
"""


def seen_by(daemon: Daemon, user: User, *options: str) -> dict[str, Any]:
    """What PROBE prints as a job of ``user``."""
    out = user.home / "probe.out"
    out.unlink(missing_ok=True)
    python = ["/usr/bin/python3", "-I", "-c", PROBE]
    job = daemon.submit(user, "--no-activate", "-o", str(out), *options, "--", *python)
    daemon.wait_state(job, "COMPLETED")
    found: dict[str, Any] = json.loads(out.read_text().splitlines()[-1])
    return found


def test_nothing_of_the_daemon_reaches_a_job(
    make_daemon: Callable[..., Daemon], alice: User
) -> None:
    """Checks 11 to 16: ids, groups, capabilities, variables, keyring, umask, nice, descriptors."""
    subprocess.run(["groupadd", "--force", "lab"], check=True)
    subprocess.run(["usermod", "-aG", "lab", alice.name], check=True)
    prefix = ["/usr/bin/python3", "-I", "-c", BURDENED]
    daemon = make_daemon(env={"SECRET_OF_ROOT": "hunter2"}, prefix=prefix)
    seen = seen_by(daemon, alice)
    status = seen["status"]
    assert status["Uid"] == [str(alice.uid)] * 4
    assert status["Gid"] == [str(alice.gid)] * 4
    identity = run_as(alice, ["id", "-G"]).stdout.split()
    assert sorted(status["Groups"]) == sorted(identity)
    assert {int(status[cap][0], 16) for cap in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert "SECRET_OF_ROOT" not in seen["env"]
    assert "secret-of-root" not in seen["keys"]
    assert seen["nice"] == 0
    assert "/etc/shadow" not in " ".join(held_by(daemon.scheduler_pid()))


def test_inheritable_capabilities_of_the_daemon_end_with_the_drop(
    make_daemon: Callable[..., Daemon], alice: User
) -> None:
    """Check 12: they survive a change of uid, and a container may have given root some."""
    daemon = make_daemon(prefix=["setpriv", "--inh-caps=+kill,+chown", "--ambient-caps=+chown"])
    status = seen_by(daemon, alice)["status"]
    caps = {int(status[cap][0], 16) for cap in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    assert caps == {0}


def held_by(pid: int | None) -> list[str]:
    """What the descriptors of a process lead to."""
    folder = Path(f"/proc/{pid}/fd")
    return [os.readlink(folder / fd) for fd in os.listdir(folder)]


def test_descriptors_and_locks_are_not_inherited(
    make_daemon: Callable[..., Daemon], alice: User
) -> None:
    """Check 14: 0, 1, 2 only, and no lock of the daemon's, judged from outside by /proc."""
    prefix = ["/usr/bin/python3", "-I", "-c", BURDENED]
    daemon = make_daemon(prefix=prefix)
    job = attack.submit(daemon, alice, "/bin/sleep", "600")
    daemon.wait_state(job, "RUNNING")
    (pid,) = [p.name for p in Path("/proc").iterdir() if is_sleep(p)]
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]
    assert held_by(int(pid)) == ["/dev/null"] * 3
    locks = Path("/proc/locks").read_text().splitlines()
    assert not [line for line in locks if f" {pid} " in line]


def is_sleep(process: Path) -> bool:
    try:
        return (
            process.name.isdigit() and (process / "cmdline").read_bytes() == b"/bin/sleep\x00600\0"
        )
    except OSError:
        return False


def test_umask_and_limits_are_the_submitters(daemon: Daemon, alice: User) -> None:
    """Check 15: as they were in the shell that submitted."""
    out = alice.home / "limits.out"
    line = 'umask 027; ulimit -n 512; exec "$@"'
    command = ["grep", "Max open files", "/proc/self/limits"]
    client = [str(BIN / "mgpu_srun"), "--parsable", "-o", str(out), "--", *command]
    env = {"MGPU_RUNTIME_DIR": str(daemon.runtime)}
    done = run_as(alice, ["bash", "-c", line, "bash", *client], env=env)
    daemon.wait_state(int(done.stdout), "COMPLETED")
    assert out.read_text().splitlines()[-1].split()[3:5] == ["512", "512"]
    assert out.stat().st_mode & 0o777 == 0o640


def test_a_user_at_its_process_limit_is_told(make_daemon: Callable[..., Daemon]) -> None:
    """Check 20: the kernel lets setresuid pass and fails execve; the job waits and says why."""
    eve = make("eve")
    daemon = make_daemon({"scheduling": {"start_retries": 1}}, prefix=["prlimit", "--nproc=8:8"])
    as_eve = ["setpriv", "--reuid", str(eve.uid), "--clear-groups"]
    crowd = [subprocess.Popen([*as_eve, "sleep", "60"]) for _ in range(10)]
    try:
        eventually(lambda: len(processes.of_user(eve.uid)), until=lambda count: count == 10)
        job = attack.submit(daemon, eve)
        row = daemon.wait_state(job, "LAUNCH_FAILED")
        detail = json.loads(daemon.queue(eve, "--all", "--json"))["jobs"][0]["detail"]
        assert "EAGAIN" in detail, row
    finally:
        for process in crowd:
            process.kill()
            process.wait()
    daemon.wait_state(attack.submit(daemon, eve), "COMPLETED")


@pytest.mark.parametrize(
    ("fields", "path", "word"),
    [
        ({"env": [b"A B=1"]}, "spec.env[0]", "variable"),
        ({"env": [b"=1"]}, "spec.env[0]", "variable"),
        ({"env": [b"A=1\0B=2"]}, "spec.env[0]", "NUL"),
        ({"env": [b"BIG%d=" % n + b"x" * 120_000 for n in range(2)]}, "spec.env", "131072"),
        ({"argv": [b"/bin/true", b"x" * 200_000]}, "spec.argv[1]", "131072"),
        ({"argv": [b"/bin/true\0"]}, "spec.argv[0]", "NUL"),
    ],
)
def test_what_could_not_be_executed_is_refused_at_submission(
    refusing: Daemon, alice: User, fields: dict[str, Any], path: str, word: str
) -> None:
    """Check 22: with the field and the limit, not as a failed start later."""
    request = submission()
    spec = request["spec"]
    assert isinstance(spec, dict)
    spec.update(fields)
    error = ask(alice, refusing.socket, request)["error"]
    assert error["path"] == path
    assert word in error["message"]


def test_the_command_says_what_is_too_large(daemon: Daemon, alice: User) -> None:
    """Check 22: also when the whole request is larger than a frame."""
    done = daemon.srun(alice, "--", "true", "x" * 130_000, "y" * 100_000)
    assert (done.returncode, "131072" in done.stderr) == (1, True), done.stderr
    env = {f"BIG{number}": "x" * 120_000 for number in range(10)}
    done = daemon.srun(alice, "--", "true", env=env)
    assert done.returncode == 1
    assert "131072" in done.stderr or "1048576" in done.stderr


PRELOAD = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void seen(void) {
    char line[64];
    int fd = open("%s", O_WRONLY | O_APPEND);
    write(fd, line, snprintf(line, sizeof line, "preload %%d\\n", getuid()));
    close(fd);
}
"""


def test_variables_of_the_loader_and_interpreters_reach_the_job_alone(
    daemon: Daemon, alice: User
) -> None:
    """Check 23: LD_PRELOAD, BASH_ENV, PYTHONPATH and PYTHONHOME run code as the user only."""
    trace = Path("/run/hooks")
    trace.touch()
    trace.chmod(0o666)
    home = alice.home
    (home / "hook.c").write_text(PRELOAD % trace)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", home / "hook.so", home / "hook.c"], check=True)
    (home / "hook.sh").write_text(f'echo "bash $(id -u)" >> {trace}\n')
    (home / "sitecustomize.py").write_text(
        f"import os\nprint('python', os.getuid(), file=open({str(trace)!r}, 'a'))\n"
    )
    values = {"LD_PRELOAD": home / "hook.so", "BASH_ENV": home / "hook.sh", "PYTHONPATH": home}
    env = [f"{name}={value}".encode() for name, value in values.items()]
    job = attack.submit(daemon, alice, "bash", "-c", "/usr/bin/python3 -c pass", env=env)
    daemon.wait_state(job, "COMPLETED")
    lost = attack.submit(daemon, alice, "/bin/true", env=[*env, b"PYTHONHOME=/nonexistent"])
    daemon.wait_state(lost, "COMPLETED")
    seen = {tuple(line.split()) for line in trace.read_text().splitlines()}
    trace.unlink()
    assert seen == {(kind, str(alice.uid)) for kind in ("preload", "bash", "python")}


def test_activation_runs_inside_the_job(daemon: Daemon, alice: User) -> None:
    """Check 24: a conda environment's own scripts run after the drop, under the time limit."""
    prefix = alice.home / "env"
    hooks = prefix / "etc/conda/activate.d"
    hooks.mkdir(parents=True)
    (prefix / "conda-meta").mkdir()
    seen = alice.home / "seen"
    lines = [f"id -u > {seen}", f"cat /proc/self/cgroup >> {seen}", "while :; do sleep 600; done"]
    (hooks / "hook.sh").write_text("\n".join(lines) + "\n")
    subprocess.run(["chown", "-R", alice.name, prefix], check=True)
    options = ["--conda-env", str(prefix), "--time-limit", "1", "--no-requeue"]
    job = daemon.submit(alice, *options, "--", "touch", str(alice.home / "never"))
    daemon.wait_state(job, "TIMEOUT")
    uid, *cgroup = seen.read_text().splitlines()
    assert uid == str(alice.uid)
    assert any(line.endswith(f"/{daemon.name}/{job}.1") for line in cgroup), cgroup
    assert not (alice.home / "never").exists()
    eventually(lambda: not processes.of_user(alice.uid))
