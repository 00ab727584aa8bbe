"""Questions about accounts, each answered by a forked process that may hang in the name service."""

from __future__ import annotations

import os
import signal

import msgpack

from mgpu.privileged import accounts, clock, log, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mgpu.privileged.accounts import Rules
    from mgpu.privileged.loop import Deadlines, Loop

#: How long a name service may take.
ANSWER_SECONDS = 5.0
_MAX_WORKERS = 64
_MAX_ANSWER = 64 * 1024


class Workers:
    """At most one worker for each uid, and no more than 64 of them."""

    __slots__ = ("_again", "_answer", "_busy", "_deadlines", "_loop", "rules")

    def __init__(
        self,
        loop: Loop,
        deadlines: Deadlines,
        rules: Rules,
        answer: Callable[[dict[str, Any]], None],
    ) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self.rules = rules
        self._answer = answer
        self._busy: dict[int, tuple[int, int]] = {}
        self._again: set[int] = set()

    def ask(self, uid: int) -> None:
        """Find out who ``uid`` is; the answer comes through ``answer``."""
        if uid in self._busy:
            return
        if len(self._busy) >= _MAX_WORKERS:
            self._answer(accounts.unknown(uid, "too many questions about accounts at once"))
            return
        near, far = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        pid = os.fork()
        if pid == 0:
            self._work(uid, far)
        os.close(far)
        self._busy[uid] = (pid, near)
        self._loop.on(near, lambda _events: self._answered(uid))
        self._deadlines.set(("account", uid), ANSWER_SECONDS)

    def pids(self) -> set[int]:
        """The workers that have not answered yet."""
        return {pid for pid, _ in self._busy.values()}

    def _work(self, uid: int, pipe: int) -> None:
        try:
            syscalls.keep_only([pipe])
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            answer = accounts.answer(uid, self.rules, clock.today())
            os.write(pipe, msgpack.packb(answer, unicode_errors="replace")[:_MAX_ANSWER])
        finally:
            os._exit(0)

    def _answered(self, uid: int) -> None:
        _, pipe = self._busy[uid]
        try:
            answer = msgpack.unpackb(os.read(pipe, _MAX_ANSWER), unicode_errors="replace")
        except Exception:  # a worker that died has said nothing, or half of it
            answer = accounts.unknown(uid, "the account could not be looked up")
            if self._once_more(uid):
                return
        self._again.discard(uid)
        self._forget(uid)
        self._answer(answer)

    def _once_more(self, uid: int) -> bool:
        """Let another worker try, once: the first may have been killed."""
        if uid in self._again:
            return False
        self._again.add(uid)
        self._forget(uid)
        self.ask(uid)
        return True

    def late(self, uid: int) -> None:
        """The deadline of a question has passed: abandon its worker."""
        if uid in self._busy:
            log.warning("A name service does not answer", "account-timeout", uid=uid)
            os.kill(self._busy[uid][0], signal.SIGKILL)
            self._again.discard(uid)
            self._forget(uid)
            seconds = f"{ANSWER_SECONDS:.0f}"
            self._answer(accounts.unknown(uid, f"the name service did not answer in {seconds} s"))

    def _forget(self, uid: int) -> None:
        _, pipe = self._busy.pop(uid)
        self._loop.off(pipe)
        os.close(pipe)
        self._deadlines.clear(("account", uid))
