"""The administrator's guide (console blocks tagged ``machine``) runs as it stands, in its order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lib.docs import ROOT, matches
from tests.lib.machine import Machine
from tests.lib.waiting import eventually

pytestmark = pytest.mark.slow

#: Commands that only look: they may be repeated until they show what the guide shows.
LOOKING = ("mgpu_info", "mgpu_ctl status", "tail", "systemctl is-active")


class Line(NamedTuple):
    """A command of root's (#) or of alice's ($), and what is shown below it."""

    who: str
    command: str
    shown: tuple[str, ...]


def lines(tag: str) -> Iterator[Line]:
    """The commands of all console blocks with this tag."""
    page = (ROOT / "docs/admin.md").read_text()
    for block in re.findall(rf"^```console {tag}\n(.*?)^```$", page, re.M | re.S):
        for found in re.finditer(r"^([#$]) (.*)\n((?:(?![#$] ).*\n)*)", block, re.M):
            yield Line(found[1], found[2], tuple(found[3].splitlines()))


def test_the_administrators_guide(boot: Callable[[str], Machine], deb: Path) -> None:
    machine = boot("guide")
    for name in ("alice", "carol"):
        machine.ok("useradd", "-m", "-s", "/bin/bash", name)
    machine.put(deb, "/opt/mgpu.deb")
    commands = [*lines("machine"), *lines("machine-end")]
    assert len(commands) > 15
    for line in commands:
        follow(machine, line)


def follow(machine: Machine, line: Line) -> None:
    """Type one line, and compare what it prints where the guide shows something."""

    def run() -> str:
        shell = ("sh",) if line.who == "#" else ("runuser", "-l", "alice")
        done = machine.run(*shell, "-c", f"exec 2>&1; {line.command}")
        assert done.returncode == 0, f"{line}\n{done.stdout}"
        return done.stdout

    if line.command.startswith(LOOKING):
        eventually(run, until=lambda seen: matches(line.shown, seen), what=line.command)
    elif line.shown:
        assert matches(line.shown, seen := run()), f"{line}\nseen: {seen}"
    else:
        run()
