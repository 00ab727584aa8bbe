"""Who a uid is: asked of the launcher, which asks the system in a process of its own.

The name service may hang, so the scheduler never asks it. Answers are kept for a minute;
a uid that could not be resolved is asked for again the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mgpu.model.errors import MgpuError
from mgpu.model.time import Now

#: Seconds an answer is used; seconds to wait for one (the launcher's worker gives up after 5).
FRESH = 60.0
PATIENCE = 8.0
#: Questions at once about uids that were never an account, as those of user namespaces are
#: (subuid(5)): the launcher answers more, so that somebody with many does not keep users away.
STRANGERS = 48


class Account(NamedTuple):
    """A uid's account. ``problem`` is empty, or why it may not run jobs."""

    uid: int
    user: str
    problem: str
    groups: tuple[str, ...] = ()


Then = Callable[[Account | MgpuError, Now], None]


class Accounts:
    """The known accounts and those being asked for. ``ask`` sends the question for a uid."""

    def __init__(self, ask: Callable[[int], None]) -> None:
        self._ask = ask
        self._known: dict[int, tuple[Account, float]] = {}
        self._waiting: dict[int, tuple[float, list[Then]]] = {}

    def lookup(self, uid: int, then: Then, now: Now) -> None:
        """Call ``then`` with the account of ``uid``: at once if it is known, else when it is."""
        known = self._known.get(uid)
        if known is not None and now.boot - known[1] < FRESH:
            then(known[0], now)
        elif uid in self._waiting:
            self._waiting[uid][1].append(then)
        elif known is None and self._strangers() >= STRANGERS:
            then(_unresolved(uid, "too many questions about accounts at once; try again"), now)
        else:
            self._waiting[uid] = (now.boot + PATIENCE, [then])
            self._ask(uid)

    def is_known(self, uid: int) -> bool:
        """Whether the uid was found to be somebody's account."""
        return uid in self._known

    def _strangers(self) -> int:
        return sum(uid not in self._known for uid in self._waiting)

    def answered(self, message: dict[str, Any], now: Now) -> None:
        """The launcher's answer has come."""
        groups = tuple(message.get("group_names", ()))
        account = Account(message["uid"], message["user"], message["problem"], groups)
        if account.user:
            self._known[account.uid] = (account, now.boot)
            self._finish(account.uid, account, now)
        else:
            self._finish(account.uid, _unresolved(account.uid, account.problem), now)

    def deadlines(self) -> Iterator[float]:
        """Boot times at which :meth:`expire` has something to do."""
        return (deadline for deadline, _ in self._waiting.values())

    def expire(self, now: Now) -> None:
        """Give up questions that got no answer."""
        late = [uid for uid, (deadline, _) in self._waiting.items() if now.boot >= deadline]
        for uid in late:
            self._finish(uid, _unresolved(uid, "the system's account service does not answer"), now)

    def _finish(self, uid: int, result: Account | MgpuError, now: Now) -> None:
        _, callbacks = self._waiting.pop(uid, (0.0, []))
        for then in callbacks:
            then(result, now)


def _unresolved(uid: int, problem: str) -> MgpuError:
    return MgpuError(
        "AccountRefused",
        f"uid {uid} cannot submit: {problem}",
        hint="ask the administrator about this account",
    )
