"""The box itself: statuses and signals come through, orphans are reaped, nothing stays."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.lib import processes
from tests.lib.waiting import eventually

NSBOX = str(Path(__file__).resolve().parent.parent / "lib" / "nsbox")


def box(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([NSBOX, *argv], input=stdin, capture_output=True, text=True, timeout=20)


def test_the_status_of_the_command_comes_out() -> None:
    assert box("sh", "-c", "exit 7").returncode == 7
    assert box("sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL


def test_input_and_output_pass() -> None:
    assert box("cat", stdin="hello").stdout == "hello"


def test_users_made_inside_stay_inside() -> None:
    done = box("sh", "-c", "useradd -m boxed && id -un boxed && ls /home")
    assert done.stdout.split() == ["boxed", "boxed"]
    assert "boxed" not in Path("/etc/passwd").read_text()


def test_an_orphan_is_reaped() -> None:
    orphan = "sh -c 'true & exec true' & wait; until ! ps -eo stat | grep -q Z; do :; done; echo ok"
    assert box("timeout", "10", "bash", "-c", orphan).stdout == "ok\n"


def test_term_reaches_the_command_and_its_status_comes_back() -> None:
    script = "trap 'exit 3' TERM; echo up; while :; do :; done"
    process = subprocess.Popen([NSBOX, "bash", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"up\n"
    process.terminate()
    assert process.wait(10) == 3


def test_killing_the_box_kills_what_is_inside() -> None:
    process = subprocess.Popen([NSBOX, "sleep", "4321"])
    sleeper = eventually(
        lambda: [p for p in processes.running().values() if p.command == "sleep 4321"]
    )
    process.kill()
    process.wait(10)
    eventually(lambda: not processes.alive(sleeper[0].pid), what="it ends too")
