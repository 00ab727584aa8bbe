"""What each uid uses of the scheduler: connections, and connects and requests by token buckets.

Every charge is given back; :meth:`Ledger.close` of the last connection asserts the balance, as
dbus-broker's accounting does. Time is an argument (boot seconds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mgpu.daemon import limits
from mgpu.model.time import Now

T = TypeVar("T")

#: Tokens a second that a bucket of no rate at all is said to get when one asks when to come again.
SLOWEST = 1e-3
#: Seconds between two looks for uids to forget.
PRUNE_EVERY = 1.0


@dataclass(slots=True)
class Bucket:
    """A token bucket: ``tokens`` as they were at ``at``."""

    tokens: float
    at: float

    def take(self, burst: float, rate: float, now: float, cost: float = 1.0) -> float:
        """Take ``cost`` tokens, if one is there; those that are not are a debt.

        Returns 0.0, or the time at which one will be there (none taken).
        """
        self.tokens = min(burst, self.tokens + max(0.0, now - self.at) * rate)
        self.at = now
        if self.tokens >= 1.0:
            self.tokens -= cost
            return 0.0
        return now + (1.0 - self.tokens) / max(rate, SLOWEST)

    def is_full(self, burst: float, rate: float, now: float) -> bool:
        """Whether it has all the tokens that it can have."""
        return self.tokens + max(0.0, now - self.at) * rate >= burst


@dataclass(slots=True)
class Account:
    """The charges of one uid."""

    bucket: Bucket
    connects: Bucket
    connections: int = 0
    unanswered: int = 0


class Ledger:
    """All charges. Root is charged too but never refused: it can stop the daemon anyway."""

    def __init__(self, connections: int, burst: float, rate: float) -> None:
        self._connections = connections
        self._burst = burst
        self._rate = rate
        self._accounts: dict[int, Account] = {}
        self._pruned = 0.0

    def set_bounds(self, connections: int, burst: float, rate: float) -> None:
        """Other bounds from now on; what is charged stays charged."""
        self._connections, self._burst, self._rate = connections, burst, rate

    def connect(self, uid: int, now: float) -> bool:
        """Charge the making of a connection; False when ``uid`` connects too often."""
        if uid == 0:
            return True
        burst, rate = (limits.CONNECTS_PER_REQUEST * of for of in (self._burst, self._rate))
        return not self._account(uid, now).connects.take(burst, rate, now)

    def open(self, uid: int, now: float) -> bool:
        """Charge a connection; False when ``uid`` has as many as it may."""
        account = self._account(uid, now)
        if uid != 0 and account.connections >= self._connections:
            return False
        account.connections += 1
        return True

    def _account(self, uid: int, now: float) -> Account:
        account = self._accounts.get(uid)
        if account is None:
            connects = Bucket(limits.CONNECTS_PER_REQUEST * self._burst, now)
            account = self._accounts[uid] = Account(Bucket(self._burst, now), connects)
        return account

    def close(self, uid: int) -> None:
        """Give a connection back."""
        account = self._accounts[uid]
        account.connections -= 1
        if account.connections < 0:
            raise RuntimeError(f"uid {uid} gave back more connections than it had")

    def request(self, uid: int, now: float, size: int = 0) -> float:
        """Charge a request of ``size`` bytes.

        Returns 0.0, or the boot time before which it must wait.
        """
        if uid == 0:
            return 0.0
        cost = 1.0 + size // limits.BYTES_PER_TOKEN
        return self._accounts[uid].bucket.take(self._burst, self._rate, now, cost)

    def charge(self, uid: int, *, seconds: float = 0.0, jobs: int = 0) -> None:
        """Charge the time that a request took, and the jobs that it is about, as more requests."""
        account = self._accounts.get(uid)
        if account is not None:
            account.bucket.tokens -= seconds / limits.SECONDS_PER_TOKEN
            account.bucket.tokens -= jobs // limits.JOBS_PER_TOKEN

    def hold(self, uid: int, more: int) -> bool:
        """Charge ``more`` bytes of requests that are not answered (less: below zero).

        False when they are more than ``uid`` may have; charged they are all the same.
        """
        account = self._accounts[uid]
        account.unanswered += more
        if account.unanswered < 0:
            raise RuntimeError(f"uid {uid} gave back more bytes than it had")
        return uid == 0 or more <= 0 or account.unanswered <= limits.UNANSWERED

    def prune(self, now: float) -> None:
        """Forget uids without connections whose buckets are full again, and others if too many."""
        if now - self._pruned < PRUNE_EVERY:
            return
        self._pruned = now
        idle = [uid for uid, account in self._accounts.items() if not account.connections]
        over = len(idle) - limits.MOST_REMEMBERED
        for place, uid in enumerate(idle):
            if place < over or self._is_settled(self._accounts[uid], now):
                del self._accounts[uid]

    def _is_settled(self, account: Account, now: float) -> bool:
        burst, rate, more = self._burst, self._rate, limits.CONNECTS_PER_REQUEST
        settled = account.bucket.is_full(burst, rate, now)
        return settled and account.connects.is_full(more * burst, more * rate, now)


class Meter:
    """Charges the time that is spent for a uid."""

    def __init__(self, ledger: Ledger, clock: Callable[[], Now]) -> None:
        self._ledger = ledger
        self._clock = clock

    def timed(self, uid: int, work: Callable[[], T]) -> T:
        """Do ``work`` at the cost of ``uid``."""
        begin = self._clock().boot
        try:
            return work()
        finally:
            self._ledger.charge(uid, seconds=self._clock().boot - begin)
