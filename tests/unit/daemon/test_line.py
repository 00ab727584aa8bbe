"""The line to another process of ours, when that one does not behave."""

from __future__ import annotations

import socket

from mgpu.daemon.line import Line
from mgpu.daemon.loop import Loop
from mgpu.model.time import Now
from mgpu.protocol import link


def test_who_never_stops_to_speak_keeps_nobody_else_waiting() -> None:
    """Each message that is heard is followed by another one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line = Line(Loop(lambda: Now(0.0, 0.0)), ours, lambda _now: None)
    link.send(theirs, {"op": "more"})
    for heard, _message in enumerate(line.messages()):
        link.send(theirs, {"op": "more"})
        assert heard < 10_000
    assert not line.closed
    assert next(line.messages()) == {"op": "more"}
    line.close()
    theirs.close()
