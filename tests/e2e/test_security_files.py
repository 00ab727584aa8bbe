"""Paths of users and paths of root: checks 25 to 35 of the security requirements."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mgpu
from tests.lib import attack, processes
from tests.lib.daemon import BIN, Daemon
from tests.lib.users import ROOT, User, run_as
from tests.lib.waiting import eventually

DAC = "-dac_override,-dac_read_search,-fowner"


@contextmanager
def traced(daemon: Daemon, trace: Path, expression: str) -> Iterator[None]:
    """strace on launcher, scheduler, monitor and whatever they fork from now on."""
    known = processes.running()
    pids = [p.pid for p in known.values() if daemon.pid in (p.pid, p.parent)]
    pids += [p.pid for p in known.values() if p.parent in pids and p.pid not in pids]
    command = ["strace", "-qq", "-f", "-s", "300", "-o", str(trace), "-e", expression]
    tracer = subprocess.Popen([*command, *(f"--attach={pid}" for pid in pids)])
    line = f"TracerPid:\t{tracer.pid}"
    try:
        for status in [Path(f"/proc/{pid}/status") for pid in pids]:
            eventually(status.read_text, until=lambda text: line in text)
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def test_root_and_the_service_user_touch_no_path_of_a_user(daemon: Daemon, alice: User) -> None:
    """Check 25: over a whole job with script, venv, log and cancel, from the kernel's side."""
    trace = Path("/run/strace-whole")
    work = alice.home / "work"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", work / ".venv"], check=True)
    # One process from the drop to the end, so that its pid tells who it is.
    (work / "job.sh").write_text("#!/bin/sh\ncommand -v python3\nexec sleep 600\n")
    subprocess.run(["chown", "-R", alice.name, work], check=True)
    with traced(daemon, trace, "trace=%file,execve,setresuid"):
        job = daemon.submit(alice, "--time-limit", "1h", "-o", "out.log", "./job.sh", cwd=work)
        daemon.wait_state(job, "RUNNING")
        log = work / "out.log"  # strace is slow: it may run before it has opened its log
        eventually(lambda: log.exists() and str(work / ".venv/bin/python3") in log.read_text())
        daemon.cancel(alice, str(job))
        daemon.wait_state(job, "CANCELLED")
    lines = [line.split(None, 1) for line in trace.read_text().splitlines()]
    assert touches(lines, alice, by_user=True), "the job itself is in the trace"
    assert touches(lines, alice, by_user=False) == []


def touches(lines: list[list[str]], user: User, *, by_user: bool) -> list[str]:
    """The calls that name a path below /home, by who the calling process was at that moment."""
    became: set[str] = set()
    found = []
    for pid, call in lines:
        if call.startswith(f"setresuid({user.uid}, ") and call.endswith("= 0"):
            became.add(pid)
        elif "/home" in call and (pid in became) == by_user:
            found.append(f"{pid} {call}")
    return found


def test_everything_works_for_a_root_without_rights_over_files(
    make_daemon: Callable[..., Daemon], alice: User
) -> None:
    """Check 26: as on a home that squashes root: no DAC capability, a 0700 home, a script."""
    assert stat.S_IMODE(alice.home.stat().st_mode) == 0o700
    daemon = make_daemon(prefix=["setpriv", f"--bounding-set={DAC}", f"--inh-caps={DAC}"])
    caps = Path(f"/proc/{daemon.pid}/status").read_text().partition("CapEff:\t")[2].split()[0]
    assert int(caps, 16) & 0b1110 == 0
    script = alice.home / "job.sh"
    script.write_text("#!/bin/sh\necho done > result\n")
    daemon.restart()  # on the state that it has made
    job = daemon.submit(alice, "./job.sh")
    daemon.wait_state(job, "COMPLETED")
    assert (alice.home / "result").stat().st_uid == alice.uid
    assert daemon.output(alice, job)
    first = daemon.submit(alice, "--time-limit", "1", "--no-requeue", "--", "sleep", "600")
    daemon.wait_state(first, "TIMEOUT")


def launch_failure(daemon: Daemon, user: User, **fields: Any) -> str:
    """The detail, as its owner sees it, of a job that must fail to start at once."""
    job = attack.submit(daemon, user, **fields)
    daemon.wait_state(job, "LAUNCH_FAILED", timeout=10)
    with attack.wire_as(user, daemon.socket) as wire:
        parts, _ = wire.ask({"op": "jobs", "jobs": [job]})
    detail: str = dict(zip(parts[0]["fields"], parts[0]["rows"][0], strict=True))["detail"]
    return detail


def test_output_where_the_user_may_not_write(daemon: Daemon, alice: User, bob: User) -> None:
    """Checks 27 and 28: EACCES as the user, nothing created or changed, also through links."""
    secret = Path("/run/owned-by-root")
    secret.write_text("untouched")
    secret.chmod(0o644)
    link, folder = alice.home / "link", alice.home / "folder"
    link.symlink_to(secret)
    folder.symlink_to("/etc")
    new = [Path("/etc/mgpu-forged"), bob.home / "forged", ROOT.home / "forged", folder / "forged"]
    for path in (*new, secret, link, folder / "passwd"):
        detail = launch_failure(daemon, alice, output=os.fsencode(path))
        assert detail == f"output: EACCES: {path}: Permission denied"
        assert launch_failure(daemon, alice, error=os.fsencode(path)) == detail
    assert not [path for path in new if path.exists()]
    assert secret.read_text() == "untouched"
    assert secret.stat().st_uid == 0


def test_output_that_is_no_file(daemon: Daemon, alice: User) -> None:
    """Check 29: refused at once, with or without a reader at the other end; nothing blocks."""
    home = alice.home
    os.mkfifo(home / "quiet")
    os.mkfifo(home / "read")
    os.mknod(home / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    for name in ("quiet", "read", "device"):
        os.chown(home / name, alice.uid, alice.gid)
    reader = os.open(home / "read", os.O_RDONLY | os.O_NONBLOCK)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(home / "socket"))
        for name in ("quiet", "read", "device", "socket", "."):
            detail = launch_failure(daemon, alice, output=os.fsencode(home / name))
            assert str(home) in detail
    assert os.read(reader, 100) == b""
    os.close(reader)
    daemon.wait_state(attack.submit(daemon, alice, output=b"/dev/null"), "COMPLETED")


def test_no_value_of_a_pattern_leads_out_of_a_folder(daemon: Daemon, alice: User) -> None:
    """Check 30: a name of slashes, dots and control characters stays one harmless part."""
    logs = alice.home / "logs"
    logs.mkdir()
    os.chown(logs, alice.uid, alice.gid)
    pattern = os.fsencode(logs / "%x" / "%u-%j.log")
    for name in ("../../../tmp/out", "..", ".", "a\nb\x1b[31m", "/etc", "%j%x"):
        detail = launch_failure(daemon, alice, name=name, output=pattern)
        assert detail.startswith("output: ENOENT: ")
    for name in ("../../../tmp/out", "..", "a\nb\x1b[31m"):
        job = attack.submit(daemon, alice, name=name, output=os.fsencode(logs / "%x.log"))
        daemon.wait_state(job, "COMPLETED")
    assert sorted(path.name for path in logs.iterdir()) == [
        *(".._.._.._tmp_out.log", "__.log", "a_b_[31m.log"),
    ]


def test_a_folder_that_cannot_be_entered(daemon: Daemon, alice: User) -> None:
    """Check 31: the job fails with that reason, and runs nowhere else."""
    closed, file = alice.home / "closed", alice.home / "file"
    closed.mkdir(mode=0)
    file.touch()
    marker = alice.home / "ran"
    for path, word in ((alice.home / "missing", "ENOENT"), (closed, "EACCES"), (file, "ENOTDIR")):
        job = daemon.submit(alice, "-D", str(path), "--", "touch", str(marker))
        daemon.wait_state(job, "LAUNCH_FAILED")
        shown = daemon.queue(alice, "--all", "--json", "--jobs", str(job))
        assert f"chdir: {word}: {path}" in shown
    assert not marker.exists()


def modes(folder: Path) -> dict[str, tuple[str, int]]:
    """Owner and mode of everything below ``folder``."""
    return {
        str(path.relative_to(folder)): (path.owner(), stat.S_IMODE(path.lstat().st_mode))
        for path in [folder, *folder.rglob("*")]
    }


def test_what_is_kept_for_jobs_is_closed(daemon: Daemon, alice: User, bob: User) -> None:
    """Check 32: state, attempt folders and copies of scripts, by stat and by trying."""
    script = alice.home / "job.sh"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    job = daemon.submit(alice, "./job.sh")
    daemon.wait_state(job, "RUNNING")
    found = modes(daemon.state)
    assert found.pop(".") == ("mgpu", 0o700)
    assert found.pop("attempts") == ("mgpu", 0o700)
    assert found.pop(f"attempts/{job}.1") == ("mgpu", 0o700)
    assert {owner for owner, _ in found.values()} == {"mgpu"}
    assert {name: mode for name, (_, mode) in found.items() if mode & 0o077} in (
        {},
        {f"attempts/{job}.1/socket": found[f"attempts/{job}.1/socket"][1]},  # in a closed folder
    )
    scripts = daemon.runtime / "scripts"
    assert modes(scripts) == {
        ".": ("root", 0o711),
        f"{job}.1": ("root", 0o640),  # of the group no rights: they are those of its access list
    }
    for path in (daemon.state, scripts / f"{job}.1"):
        assert run_as(bob, ["cat", str(path)]).returncode == 1
    assert run_as(bob, ["ls", str(daemon.state)]).returncode == 2
    assert run_as(bob, ["ls", str(scripts)]).returncode == 2
    daemon.cancel(alice, str(job))
    daemon.wait_state(job, "CANCELLED")
    eventually(lambda: not list(scripts.iterdir()), what="the script goes with its job")


def test_a_job_may_remove_or_replace_its_log(daemon: Daemon, alice: User) -> None:
    """Check 33: it goes on, and nobody follows a link that it put there."""
    victim = Path("/run/victim")
    victim.write_text("untouched")
    log = alice.home / "own.log"
    line = f"rm {log}; ln -s {victim} {log}; echo more; [ $MGPU_RESTART_COUNT = 1 ] || sleep 600"
    options = ["-o", str(log), "--time-limit", "1"]
    job = daemon.submit(alice, *options, "--", "sh", "-c", line)
    row = daemon.wait_state(job, "LAUNCH_FAILED")  # the next attempt meets the link, as alice
    assert row["attempt"] == 2
    assert victim.read_text() == "untouched"


def test_what_is_removed_lies_in_own_folders(daemon: Daemon, alice: User) -> None:
    """Check 34: folders are emptied by descriptor and name; no link is followed."""
    victim = alice.home / "victim"
    victim.mkdir()
    (victim / "lock").touch()
    job = attack.submit(daemon, alice, "/bin/sleep", "600")
    daemon.wait_state(job, "RUNNING")
    attempts = daemon.state / "attempts"
    (attempts / f"{job}.1" / "crash").symlink_to(victim / "lock")
    (attempts / "999.1").symlink_to(victim)
    (daemon.runtime / "scripts" / "999.1").symlink_to(victim / "lock")
    daemon.cancel(alice, str(job))
    daemon.wait_state(job, "CANCELLED")
    daemon.restart()
    eventually(lambda: not (attempts / f"{job}.1").exists())
    assert [path.name for path in victim.iterdir()] == ["lock"]


def start_up(config: Path, *, package: Path | None = None) -> subprocess.CompletedProcess[str]:
    """mgpud, which is to refuse; ``package`` is the folder that holds another copy of mgpu."""
    command = [str(BIN / "mgpud")]
    if package is not None:
        paths = f"sys.path.insert(0, {str(package)!r})"
        code = f"import sys; {paths}; from mgpu.cli.mgpud import main; main()"
        command = [sys.executable, "-c", code]
    return subprocess.run(
        [*command, "--config", str(config)],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=10,
    )


def by_mode(path: Path, _user: User) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def by_owner(path: Path, user: User) -> None:
    os.chown(path, user.uid, -1)


@pytest.mark.parametrize("weaken", [by_mode, by_owner])
@pytest.mark.parametrize(
    "what", ["config_file", "config folder", "state", "runtime", "package", "module"]
)
def test_mgpud_refuses_what_others_could_change(
    make_daemon: Callable[..., Daemon], alice: User, what: str, weaken: Callable[..., None]
) -> None:
    """Check 35: the refusal names the path; put right, it starts."""
    daemon = make_daemon()
    daemon.stop()
    daemon.allow_crash = True
    place = Path("/run/weak")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(Path(mgpu.__file__).parent, place / "lib/mgpu")
    config = place / "etc/config.toml"
    config.parent.mkdir()
    shutil.copy(daemon.config_file, config)
    paths: dict[str, Path] = {
        "config_file": config,
        "config folder": config.parent,
        "state": daemon.state,
        "runtime": daemon.runtime,
        "package": place / "lib/mgpu",
        "module": place / "lib/mgpu/privileged/launcher.py",
    }
    weaken(paths[what], alice)
    done = start_up(config, package=place / "lib")
    assert done.returncode not in (0, -9), done.stderr
    assert str(paths[what]) in done.stderr
    assert "chmod" in done.stderr or "belongs to" in done.stderr or "chown" in done.stderr


@pytest.mark.parametrize("name", ["mgpud", "mgpu_scheduler_server"])
def test_nothing_where_root_stands_is_executed(
    make_daemon: Callable[..., Daemon], alice: User, name: str
) -> None:
    """Check 35: modules of a user's folder, by the current folder and by every variable."""
    daemon, marker = make_daemon(), Path("/run/executed")
    marker.unlink(missing_ok=True)
    place = alice.home / "modules"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for module in ("sitecustomize", "usercustomize", "re", "click", "msgpack", "mgpu"):
        (place / f"{module}.py").write_text(f"open({str(marker)!r}, 'a').write({module!r})")
    done = subprocess.run(
        [BIN / name, "check", daemon.config_file],
        cwd=place,
        env={
            "PATH": "/usr/bin:/bin",
            **{key: str(place) for key in ("PYTHONUSERBASE", "HOME")},
            "PYTHONPATH": ":.",
            "PYTHONSTARTUP": str(place / "re.py"),
        },
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (0, f"{daemon.config_file}: good\n"), done.stderr
    assert not marker.exists()
