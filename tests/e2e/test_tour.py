"""The tour of the README (console blocks tagged ``tour``) runs as it stands, and shows that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from tests.lib.daemon import BIN, Daemon
from tests.lib.docs import ROOT, Example, examples, matches
from tests.lib.users import User, run_as
from tests.lib.waiting import eventually

#: Commands that only look: they may be repeated until they show what the tour shows.
LOOKING = ("mgpu_queue", "mgpu_info", "cat")


#: Exit status of useradd(8) and groupadd(8): other tests of this session need the account too.
ALREADY_THERE = 9

#: There is no network in the box: pip takes mgpu alone, and what it needs is lent by a .pth file.
OFFLINE = os.environ | {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}


def test_the_tour_of_the_readme(daemon: Daemon, alice: User) -> None:
    for example in examples(ROOT / "README.md"):
        if "tour" in example.tags:
            follow(daemon, alice, example)


def test_the_install_commands_of_the_readme(tmp_path: Path) -> None:
    """As root in a box, word for word; the last one is the daemon, which then answers."""
    checkout = tmp_path / "checkout"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, tracked.stdout.decode().split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    prefix = Path("/opt/mgpu")
    prefix.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", prefix], check=True)
    *commands, daemon = root_commands("install")
    try:
        for command in commands:
            done = subprocess.run(["bash", "-ec", command], cwd=checkout, env=OFFLINE)
            assert done.returncode in (0, ALREADY_THERE), command
            for site in prefix.glob("lib/python3*/site-packages"):
                (site / "packages.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        answers_and_stops(daemon, prefix / "bin/mgpu_queue")
    finally:
        subprocess.run(["umount", "--lazy", prefix], check=True)
        prefix.rmdir()


def root_commands(tag: str) -> list[str]:
    """The lines after ``# `` of the console block with this tag."""
    block = (ROOT / "README.md").read_text().partition(f"```console {tag}\n")[2].partition("```")[0]
    return [line.removeprefix("# ") for line in block.splitlines()]


def answers_and_stops(daemon: str, queue: Path) -> None:
    """Run the daemon, ask it once, stop it."""
    with subprocess.Popen(daemon.split(), cwd="/", stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: subprocess.run([queue], capture_output=True).returncode == 0)
        finally:
            process.terminate()
        assert process.wait(10) == 0


def follow(daemon: Daemon, user: User, example: Example) -> None:
    """Type one line of the tour and compare what it prints."""
    path = f"{BIN}:/usr/local/bin:/usr/bin:/bin"
    env = {"MGPU_RUNTIME_DIR": str(daemon.runtime), "PATH": path}

    def run() -> str:
        done = run_as(user, ["bash", "-c", f"exec 2>&1; {example.command}"], env=env)
        assert done.returncode == 0, f"{example}\n{done.stdout}"
        return done.stdout

    if example.command.startswith(LOOKING):
        eventually(run, until=lambda seen: matches(example.output, seen), what=str(example))
        return
    seen = run()
    assert matches(example.output, seen), f"{example}\nshown: {example.output}\nseen: {seen}"
