"""No room for another process, and more processes than a message can name: what serves goes on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from mgpu.privileged.cgroup import Groups
from mgpu.privileged.helper import Helper, Helpers
from mgpu.privileged.loop import Deadlines
from mgpu.privileged.supervisor import Supervisor
from mgpu.protocol import link


def test_a_helper_that_no_process_can_tell_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "no room")

    monkeypatch.setattr(os, "fork", fork)
    helper: Any = Helper("notifier", "mgpu.notify.main", (65534, 65534), {})
    helper.line = object()
    with subprocess.Popen(["/bin/sleep", "60"]) as running:
        helper.pid = running.pid
        helper.renew({"notices.enabled": True})
        assert running.wait(10) == -signal.SIGTERM
    assert helper.settings == {"notices.enabled": True}


def test_a_moment_of_a_helper_that_is_gone_passes() -> None:
    scheduler: Any = None
    helpers = Helpers([], Deadlines(), scheduler)
    helpers.due("stable", "exporter")
    helpers.due("helper", "exporter")


def test_as_many_processes_that_cannot_be_killed_are_told_as_a_message_holds() -> None:
    told: list[dict[str, Any]] = []
    one: Any = SimpleNamespace(
        tree=SimpleNamespace(members=lambda: set(range(4_000_000, 4_030_000))),
        over=False,
        channel=SimpleNamespace(add=lambda **facts: told.append(facts)),
        deadlines=Deadlines(),
    )
    Supervisor._look_after(one)
    assert told[0]["stuck"][:2] == [4_000_000, 4_000_001]
    link.encode({"op": "running", **told[0]})


def test_a_group_that_cannot_be_opened_is_not_taken_for_one_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else GPUs would be given to others while processes use them."""

    def no_descriptor(_self: Groups, _name: str) -> None:
        raise OSError(errno.EMFILE, "no descriptor")

    monkeypatch.setattr(Groups, "_open", no_descriptor)
    with pytest.raises(OSError, match="no descriptor"):
        Groups.find(object.__new__(Groups), "1.1")


def test_a_helper_that_reads_nothing_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line is full then: it cannot be told, instead of the launcher being stopped."""
    monkeypatch.setattr(os, "fork", lambda: 1)
    helper = Helper("notifier", "mgpu.notify.main", (65534, 65534), {})
    helper.start()
    assert helper.line is not None
    with helper.line:
        assert not helper.line.getblocking()
