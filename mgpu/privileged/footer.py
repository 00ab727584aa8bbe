"""The last lines of a job's log, which the scheduler has the words for.

The log is opened by the job's child, as the user; its descriptor travels through the pipe to the
supervisor, which writes to it and never sees its path.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What the child says when it hands the descriptor of its log over.
LOG = b"log"
_MOST = 4096
#: A file system that does not answer is not waited for any longer.
_SECONDS = 5


def hand_over(pipe: int, log: int) -> None:
    """As the child: give the log to the supervisor; not worth failing for."""
    if not stat.S_ISREG(os.fstat(log).st_mode):
        return
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", log))]
    with socket.socket(fileno=os.dup(pipe)) as line:
        try:
            line.sendmsg([LOG], rights, socket.MSG_NOSIGNAL)
        except OSError:
            return


def write(log: int, text: Any) -> None:
    """Add the lines to the log, as the last thing that is done about the job."""
    if log < 0 or type(text) is not str or not stat.S_ISREG(os.fstat(log).st_mode):
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM,))
    signal.alarm(_SECONDS)
    plain = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
    try:
        os.write(log, plain.encode("utf-8", "replace")[:_MOST])
    except OSError:
        pass  # a full disk, or a quota: the job's own matter
    signal.alarm(0)
