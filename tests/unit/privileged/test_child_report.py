"""What the supervisor hears from the job's child, in whatever order the two speak."""

from __future__ import annotations

import socket
from typing import Any

import msgpack

from mgpu.privileged.loop import Deadlines, Loop
from mgpu.privileged.supervisor import Supervisor


def test_a_child_that_fails_before_it_reads_is_still_heard() -> None:
    """The kernel answers "connection reset" once, and only then what the child had said."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setblocking(False)
    supervisor = Supervisor.__new__(Supervisor)
    supervisor.loop, supervisor.deadlines = Loop(), Deadlines()
    supervisor.about_to_execute, supervisor.report = False, None
    supervisor.pipe = near
    supervisor.loop.on(near.fileno(), supervisor._on_pipe)
    near.send(b"g")
    far.send(msgpack.packb(["account", 1, "gone", True]))
    far.close()
    supervisor._on_pipe(0)
    report = vars_of(supervisor)["report"]
    assert (report.stage, report.detail) == ("account", "gone")
    assert vars_of(supervisor)["pipe"] is None


def vars_of(supervisor: Supervisor) -> dict[str, Any]:
    """What it holds now, whatever the type checker has seen being assigned."""
    return {name: getattr(supervisor, name) for name in ("report", "pipe")}
