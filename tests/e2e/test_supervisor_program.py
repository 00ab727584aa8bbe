"""What a job executes and where its output goes: logs, folders, scripts, real environments."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lib import processes
from tests.lib.fake_scheduler import FakeScheduler, Message
from tests.lib.users import User
from tests.lib.waiting import eventually

JOBS = itertools.count(100)
AUTO = {"mode": "auto", "path": b""}


@pytest.fixture
def scheduler(users: object) -> Iterator[FakeScheduler]:
    with FakeScheduler() as found:
        yield found


@pytest.fixture
def place(alice: User) -> Path:
    """A new folder of alice's."""
    folder = Path(tempfile.mkdtemp(dir=alice.home))
    os.chown(folder, alice.uid, alice.gid)
    folder.chmod(0o755)
    return folder


def refusal(scheduler: FakeScheduler, user: User, **payload: object) -> Message:
    """Why a job with this payload is not started; that nothing of it ran."""
    marker = user.home / "ran"
    marker.unlink(missing_ok=True)
    message = scheduler.start(next(JOBS), user, ["touch", str(marker)], payload=payload).refusal()
    assert not marker.exists()
    assert not processes.of_user(user.uid)
    return message


# ---------------------------------------------------------------- output


def test_the_default_log(scheduler: FakeScheduler, alice: User) -> None:
    payload = {"output": None, "umask": 0o077}
    run = scheduler.start(42, alice, ["sh", "-c", "echo out; echo err >&2"], payload=payload)
    assert run.end()["code"] == 0
    log = alice.home / ".local/state/mgpu/logs/42.log"
    header, *rest = log.read_text().splitlines()
    assert header == "[mgpu] job 42, attempt 1, GPUs: none, environment: none (not wanted)"
    assert rest == ["out", "err"]
    assert (log.stat().st_uid, log.stat().st_mode & 0o777) == (alice.uid, 0o600)
    assert (log.parent.stat().st_uid, log.parent.stat().st_mode & 0o777) == (alice.uid, 0o700)


def test_patterns_are_expanded_below_the_folder(
    scheduler: FakeScheduler, alice: User, place: Path
) -> None:
    payload = {
        "name": "../../evil\nname",
        "cwd": os.fsencode(place),
        "output": b"%4j-%x-%u-%A_%a-r%r-%%-%q.out",
        "error": b"%j.err",
    }
    argv = ["sh", "-c", "echo out; echo err >&2; echo $MGPU_ARRAY_JOB_ID $MGPU_ARRAY_TASK_ID"]
    array = [40, 3, 9, 0, 8]
    run = scheduler.start(43, alice, argv, payload=payload, restarts=2, array=array)
    assert run.end()["code"] == 0
    out = place / "0043-.._.._evil_name-alice-40_3-r2-%-%q.out"
    assert out.read_text().splitlines()[1:] == ["out", "40 3"]
    assert (place / "43.err").read_text() == "err\n"
    assert sorted(os.listdir(place)) == sorted([out.name, "43.err"])


def test_truncating_is_for_the_first_attempt(
    scheduler: FakeScheduler, alice: User, place: Path
) -> None:
    log = place / "log"
    log.write_text("old\n")
    os.chown(log, alice.uid, alice.gid)
    payload = {"output": os.fsencode(log), "open_mode": "truncate"}
    for attempt in (1, 2):
        run = scheduler.start(1, alice, ["echo", "hi"], attempt=attempt, payload=payload)
        assert run.end()["code"] == 0
    lines = log.read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["[mgpu] job 1", "hi"] * 2


@pytest.mark.parametrize(
    "target", ["/etc/mgpu-evil.log", "/var/lib/evil.log", "/home/bob/evil.log"]
)
@pytest.mark.parametrize("through", ["directly", "link", "folder link"])
def test_output_where_the_user_may_not_write(
    scheduler: FakeScheduler, alice: User, bob: User, place: Path, target: str, through: str
) -> None:
    path = Path(target)
    if through == "link":
        path = place / "link.log"
        path.symlink_to(target)
    elif through == "folder link":
        (place / "folder").symlink_to(Path(target).parent)
        path = place / "folder" / Path(target).name
    message = refusal(scheduler, alice, output=os.fsencode(path))
    assert (message["stage"], message["errno"]) == ("output", errno.EACCES)
    assert str(path) in message["detail"]
    assert not message["transient"]
    assert not Path(target).exists()


@pytest.mark.parametrize("kind", ["fifo", "fifo with a reader", "socket", "folder", "zero", "tty"])
def test_output_that_is_no_file(
    scheduler: FakeScheduler, alice: User, place: Path, kind: str
) -> None:
    path, reader = place / "thing", -1
    if kind.startswith("fifo"):
        os.mkfifo(path)
        os.chown(path, alice.uid, alice.gid)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if "reader" in kind else -1
    elif kind == "socket":
        subprocess.run(
            [sys.executable, "-c", "import socket, sys; socket.socket(1).bind(sys.argv[1])", path],
            check=True,
        )
        os.chown(path, alice.uid, alice.gid)
    elif kind == "folder":
        path = place
    else:
        path = Path("/dev") / kind
    message = refusal(scheduler, alice, output=os.fsencode(path))
    assert message["stage"] == "output"
    assert str(path) in message["detail"]
    if reader >= 0:
        os.close(reader)


def test_a_job_may_remove_its_log(scheduler: FakeScheduler, alice: User, place: Path) -> None:
    payload = {"output": b"log", "cwd": os.fsencode(place)}
    argv = ["sh", "-c", "rm log; echo lost; ln -s /etc/passwd log; exit 3"]
    assert scheduler.start(1, alice, argv, payload=payload).end()["code"] == 3
    assert "lost" not in Path("/etc/passwd").read_text()


# ---------------------------------------------------------------- where and what


def test_folders_that_cannot_be_entered(
    scheduler: FakeScheduler, alice: User, bob: User, place: Path
) -> None:
    closed, file = place / "closed", place / "file"
    closed.mkdir(mode=0)
    file.write_text("")
    cases = {
        place / "missing": errno.ENOENT,
        closed: errno.EACCES,
        file: errno.ENOTDIR,
        bob.home: errno.EACCES,
    }
    for path, code in cases.items():
        message = refusal(scheduler, alice, cwd=os.fsencode(path))
        assert (message["stage"], message["errno"]) == ("chdir", code)
        assert str(path) in message["detail"]


def test_a_home_that_root_cannot_read(alice: User, place: Path) -> None:
    """Without root's rights over files everything works, as on a root-squashed server."""
    bounded = "-dac_override,-dac_read_search,-fowner"
    scheduler = FakeScheduler(
        prefix=["setpriv", f"--bounding-set={bounded}", f"--inh-caps={bounded}"]
    )
    scheduler.launch()
    place.chmod(0o700)
    try:
        payload: Message = {"output": b"log", "cwd": os.fsencode(place)}
        assert scheduler.start(1, alice, ["pwd"], payload=payload).end()["code"] == 0
        script = {**payload, "script": b"#!/bin/sh\necho script\n"}
        assert scheduler.start(2, alice, payload=script).end()["code"] == 0
    finally:
        scheduler.close()
    assert str(place) in (place / "log").read_text()
    assert "script" in (place / "log").read_text()


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["no-such-program-anywhere"], errno.ENOENT),
        (["/no/such/path"], errno.ENOENT),
        (["/etc/passwd"], errno.EACCES),
        (["/etc/passwd/x"], errno.ENOENT),
        (["/bin/echo", "x" * 200_000], errno.E2BIG),
    ],
    ids=["name", "path", "not executable", "below a file", "too long"],
)
def test_programs_that_cannot_be_executed(
    scheduler: FakeScheduler, alice: User, argv: list[str], code: int
) -> None:
    message = scheduler.start(1, alice, argv).refusal()
    assert (message["stage"], message["errno"]) == ("exec", code)
    assert argv[0] in message["detail"]
    assert not message["transient"]


def test_a_program_without_a_header_is_for_the_shell(
    scheduler: FakeScheduler, alice: User, place: Path
) -> None:
    program = place / "plain"
    program.write_text("exit $1\n")
    program.chmod(0o755)
    assert scheduler.start(1, alice, [str(program), "4"]).end()["code"] == 4


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("#!/bin/sh\necho $1-$2", "a b-c"),
        ("#!/bin/bash -e\nfalse\necho no", ""),
        ("#!/usr/bin/env python3\nimport sys; print('-'.join(sys.argv[1:]))", "a b-c"),
        ("echo $1-$2", "a b-c"),
    ],
    ids=["sh", "one argument", "env", "no header"],
)
def test_scripts(
    scheduler: FakeScheduler, alice: User, place: Path, script: str, wanted: str
) -> None:
    log = place / "log"
    payload = {"script": script.encode(), "output": os.fsencode(log)}
    scheduler.start(1, alice, ["a b", "c"], payload=payload).end()
    assert log.read_text().splitlines()[1:] == ([wanted] if wanted else [])
    scheduler.hear("gone")
    folder = scheduler.runtime / "scripts"
    eventually(lambda: os.listdir(folder), until=lambda left: left == [])


#: All that could make more of its own script than something to read; then it reads it.
SCRIPT = b"""#!/bin/bash
echo more >> "$0"; truncate -s 0 "$0"; chmod 700 "$0"; chown "$(id -u)" "$0"
rm -f "$0"; mv "$0" "$0.old"; echo new > "$0.new"; ln "$0" "$0.link"
cat "$0"
exec sleep 600
"""


def test_a_script_is_its_users_to_read(
    scheduler: FakeScheduler, alice: User, bob: User, place: Path
) -> None:
    """It is nobody's to change, and nothing to anybody else, not even to who shares the group."""
    log, copy = place / "log", scheduler.runtime / "scripts/1.1"
    run = scheduler.start(1, alice, payload={"script": SCRIPT, "output": os.fsencode(log)})
    eventually(lambda: log.exists() and log.read_bytes().endswith(SCRIPT), what="it has been read")
    assert (copy.stat().st_uid, copy.read_bytes()) == (0, SCRIPT)
    assert os.listdir(copy.parent) == ["1.1"]
    for writes in (False, True):
        assert not opens(bob.uid, alice.gid, copy, writes=writes)
    assert opens(alice.uid, bob.gid, copy)
    assert not opens(alice.uid, alice.gid, copy, writes=True)
    run.stop()
    run.end()


def opens(uid: int, gid: int, path: Path, *, writes: bool = False) -> bool:
    """Whether the kernel lets these ids open the file."""
    ids = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--"]
    program = f": {'>>' if writes else '<'} {path}"
    return subprocess.run([*ids, "sh", "-c", program], stderr=subprocess.DEVNULL).returncode == 0


def test_a_script_without_access_control_lists(users: object, alice: User) -> None:
    """A ramfs has none: the start is refused, with what to do."""
    scheduler = FakeScheduler()
    subprocess.run(["mount", "-t", "ramfs", "ramfs", scheduler.runtime], check=True)
    scheduler.runtime.chmod(0o755)
    try:
        scheduler.launch()
        refused = scheduler.start(1, alice, payload={"script": b"true"}).refusal()
    finally:
        scheduler.close()
        subprocess.run(["umount", "-l", scheduler.runtime], check=True)
    assert (refused["stage"], refused["errno"]) == ("prepare", errno.ENOTSUP)
    assert "paths.runtime_dir" in refused["detail"]


def test_a_script_against_the_promise(scheduler: FakeScheduler, alice: User) -> None:
    run = scheduler.start(1, alice, payload={"script": b"true"}, script=False)
    assert run.refusal()["stage"] == "script"


@pytest.mark.parametrize(
    "payload",
    [{"argv": []}, {"cwd": "/"}, {"env": "x"}, {"umask": None}, {"activate": {"mode": "x"}}],
    ids=repr,
)
def test_a_payload_that_is_none(
    scheduler: FakeScheduler, alice: User, payload: dict[str, object]
) -> None:
    message = scheduler.start(1, alice, ["true"], payload=payload).refusal()
    assert (message["stage"], message["transient"]) == ("payload", False)


# ---------------------------------------------------------------- environments


def seen(
    scheduler: FakeScheduler, user: User, place: Path, shell: str, **payload: Any
) -> tuple[str, list[str]]:
    """The environment that the log's first line names, and what ``shell`` prints."""
    log = user.home / "environment.log"
    log.unlink(missing_ok=True)
    changes = {"output": os.fsencode(log), "cwd": os.fsencode(place), "activate": AUTO, **payload}
    run = scheduler.start(next(JOBS), user, ["sh", "-c", shell], payload=changes)
    assert run.end()["code"] == 0
    header, *rest = log.read_text().splitlines()
    return header.partition("environment: ")[2], rest


def make_venv(path: Path, owner: User) -> Path:
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(path)], check=True)
    subprocess.run(["chown", "-R", f"{owner.uid}:{owner.gid}", str(path)], check=True)
    return path


def test_a_real_venv_is_found_and_active(
    scheduler: FakeScheduler, alice: User, bob: User, place: Path
) -> None:
    below = place / "project" / "deep"
    below.mkdir(parents=True)
    shell = "command -v python; python -c 'import sys; print(sys.prefix)'; echo $VIRTUAL_ENV"
    assert seen(scheduler, alice, below, "true")[0] == "none (none found)"
    venv = make_venv(place / ".venv", alice)
    said, lines = seen(scheduler, alice, below, shell)
    assert said == f"venv {venv} (found)"
    assert lines == [f"{venv}/bin/python", str(venv), str(venv)]
    real = subprocess.run(
        ["bash", "-c", f". {venv}/bin/activate; echo $PATH"],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen(scheduler, alice, below, "echo $PATH")[1] == real.stdout.splitlines()
    subprocess.run(["chown", "-hR", f"{bob.uid}", str(venv)], check=True)
    assert seen(scheduler, alice, below, "true")[0] == "none (none found)"


def test_a_venv_as_asked(scheduler: FakeScheduler, alice: User, place: Path) -> None:
    venv = make_venv(place / "my env; true", alice)
    asked = {"mode": "venv", "path": b"my env; true"}
    said, lines = seen(scheduler, alice, place, "echo $VIRTUAL_ENV", activate=asked)
    assert (said, lines) == (f"venv {venv} (as asked)", [str(venv)])
    missing = {"mode": "venv", "path": b"nothing"}
    message = refusal(scheduler, alice, cwd=os.fsencode(place), activate=missing)
    assert (message["stage"], message["errno"]) == ("activate", errno.ENOENT)
    assert str(place / "nothing") in message["detail"]


def test_the_scripts_of_a_conda_environment_run_in_the_job(
    scheduler: FakeScheduler, alice: User, place: Path
) -> None:
    prefix = place / "envs" / "my env; exit 9"
    for folder in ("bin", "conda-meta", "etc/conda/activate.d"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "conda-meta" / "state").write_text('{"env_vars": {"FROM_STATE": "a b"}}')
    script = prefix / "etc/conda/activate.d" / "set it; exit 8.sh"
    script.write_text('export FROM_SCRIPT="$CONDA_PREFIX:$#"; echo "ran as $(id -un)"\n')
    envs = os.fsencode(place / "envs")
    shell = 'echo "$CONDA_DEFAULT_ENV|$CONDA_PREFIX|$FROM_STATE|$FROM_SCRIPT|$CONDA_SHLVL"'
    said, lines = seen(
        scheduler,
        alice,
        place,
        shell,
        env=[b"CONDA_ENVS_PATH=" + envs, b"PATH=/usr/bin:/bin"],
        activate={"mode": "conda", "path": b"my env; exit 9"},
    )
    assert said == f"conda environment {prefix} (as asked)"
    name = "my env; exit 9"
    assert lines == ["ran as alice", f"{name}|{prefix}|a b|{prefix}:1|1"]
    asked = {"mode": "conda", "path": b"nothing"}
    assert refusal(scheduler, alice, activate=asked)["stage"] == "activate"
