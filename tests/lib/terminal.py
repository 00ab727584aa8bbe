"""A person at a terminal: one of mgpu's commands, run as a Unix user with a pty of its own.

with Terminal(daemon, alice, "mgpu_srun", "--interactive", "bash") as screen:
    screen.press("tty\\n")
    screen.shows("/dev/pts/")
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any

import pexpect

from tests.lib.daemon import BIN, Daemon
from tests.lib.users import User, as_user

PATIENCE = 8.0


class Terminal:
    """The command's side of a pty is its terminal, the test's is the screen and the keyboard."""

    def __init__(
        self, daemon: Daemon, user: User, *argv: str, size: tuple[int, int] = (24, 80)
    ) -> None:
        words = as_user(user, [str(BIN / argv[0]), *argv[1:]])
        self.child: Any = pexpect.spawn(
            words[0],
            words[1:],
            env={
                **user.environment(),
                "MGPU_RUNTIME_DIR": str(daemon.runtime),
                "TERM": "xterm",
                "PS1": "$ ",
            },
            cwd=str(user.home),
            dimensions=size,
            timeout=PATIENCE,
            echo=True,
        )
        self.child.delaybeforesend = None

    def press(self, text: str) -> None:
        """Press these keys."""
        self.child.send(text)

    def shows(self, pattern: str) -> re.Match[bytes]:
        """Wait until ``pattern`` is on the screen; what was before it is gone from the next one."""
        self.child.expect(pattern)
        match: re.Match[bytes] = self.child.match
        return match

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size."""
        self.child.setwinsize(rows, columns)

    def detach(self) -> int:
        """Press the keys that detach; the command's exit status."""
        self.press("\x1cd")
        self.shows("come back with: mgpu_job attach")
        return self.ends()

    def ends(self) -> int:
        """Wait for the end of the command; its exit status."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        status: int | None = self.child.exitstatus
        return -1 if status is None else status

    @property
    def pid(self) -> int:
        """The process that was started; as the user, it becomes the command."""
        pid: int = self.child.pid
        return pid

    def vanish(self) -> None:
        """Close the window, as a lost connection does: the command gets SIGHUP."""
        self.child.close(force=False)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if not self.child.closed:
            self.child.close(force=True)
