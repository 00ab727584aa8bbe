"""Whether environments are looked for that nobody asked for is the administrator's to say."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.lib.daemon import Daemon
from tests.lib.users import User


@pytest.mark.parametrize("activate", [True, False])
def test_a_venv_that_is_merely_found(
    make_daemon: Callable[..., Daemon], alice: User, activate: bool
) -> None:
    folder = alice.home / f"found-{activate}"
    make = ["/usr/bin/python3", "-m", "venv", "--without-pip", str(folder / ".venv")]
    subprocess.run(make, check=True, user=alice.uid, group=alice.gid, extra_groups=())
    daemon = make_daemon({"jobs": {"activate": activate}})
    say = ("--chdir", str(folder), "--", "sh", "-c", "echo venv=$VIRTUAL_ENV")
    found = daemon.submit(alice, *say)
    daemon.wait_state(found, "COMPLETED")
    line = daemon.output(alice, found).splitlines()[-1]
    assert line == (f"venv={folder}/.venv" if activate else "venv=")
    asked = daemon.submit(alice, "--venv", f"{folder}/.venv", *say)
    daemon.wait_state(asked, "COMPLETED")
    assert daemon.output(alice, asked).splitlines()[-1] == f"venv={folder}/.venv"
