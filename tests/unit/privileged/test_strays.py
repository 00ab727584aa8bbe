"""Which process the launcher ends when the scheduler names one that holds a GPU."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mgpu.privileged import strays
from mgpu.privileged.accounts import Rules
from mgpu.privileged.refusal import Refusal

USER = 54321
SITE: Any = SimpleNamespace(uid=54322, rules=Rules(1000, allow_root=True))


@pytest.fixture
def stray() -> Iterator[subprocess.Popen[bytes]]:
    if os.getuid() != 0:
        pytest.skip("only root can start a process of somebody else")
    with subprocess.Popen(["sleep", "600"], user=USER, group=USER, extra_groups=()) as process:
        yield process
        process.kill()


def order(process: subprocess.Popen[bytes], **changes: object) -> dict[str, Any]:
    ticks, _ = strays.identity(process.pid)
    return {"pid": process.pid, "ticks": ticks, "uid": USER, "why": "leftover", **changes}


def test_the_process_that_is_named_ends(stray: subprocess.Popen[bytes]) -> None:
    strays.kill(order(stray), SITE)
    assert stray.wait(10) == -signal.SIGKILL
    for pid in (stray.pid, 2**40):
        strays.kill(order(stray, pid=pid, ticks=5), SITE)  # nothing to do


@pytest.mark.parametrize("change", [{"ticks": 5}, {"uid": USER + 5}])
def test_another_process_of_that_number_lives(
    stray: subprocess.Popen[bytes], change: dict[str, int]
) -> None:
    strays.kill(order(stray, **change), SITE)
    assert stray.poll() is None


@pytest.mark.parametrize("uid", [0, 999, 54322])
def test_processes_of_root_of_the_system_and_of_mgpu_are_refused(uid: int) -> None:
    message = {"pid": os.getpid(), "ticks": 5, "uid": uid, "why": "outsider"}
    with pytest.raises(Refusal):
        strays.kill(message, SITE)


@pytest.mark.parametrize(
    "change",
    [{"pid": 0}, {"pid": -1}, {"pid": True}, {"ticks": "5"}, {"uid": 2**63}, {"why": "so"}],
    ids=repr,
)
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    message = {"pid": os.getpid(), "ticks": 5, "uid": USER, "why": "outsider", **change}
    with pytest.raises(Refusal, match=r"kill_process|not ended"):
        strays.kill(message, SITE)


def test_a_process_with_the_rights_of_another_is_not_the_users() -> None:
    ticks, uids = strays.identity(os.getpid())
    assert ticks > 0
    assert uids == set(os.getresuid())
    assert strays.identity(2**22 + 1) == (0, set())
