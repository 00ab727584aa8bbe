"""What each uid uses of the scheduler: connections, and requests from a token bucket.

Every charge is given back; :meth:`Ledger.close` of the last connection asserts the balance, as
dbus-broker's accounting does. Time is an argument (boot seconds).
"""

from __future__ import annotations

from dataclasses import dataclass

from mgpu.daemon import limits


@dataclass(slots=True)
class Bucket:
    """A token bucket: ``tokens`` as they were at ``at``."""

    tokens: float
    at: float

    def take(self, burst: float, rate: float, now: float) -> float:
        """Take one token. Returns 0.0, or the time at which one will be there (none taken)."""
        self.tokens = min(burst, self.tokens + max(0.0, now - self.at) * rate)
        self.at = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0.0
        return now + (1.0 - self.tokens) / rate


@dataclass(slots=True)
class Account:
    """The charges of one uid."""

    bucket: Bucket
    connections: int = 0


class Ledger:
    """All charges. Root is charged too but never refused: it can stop the daemon anyway."""

    def __init__(self, connections: int, burst: float, rate: float) -> None:
        self._connections = connections
        self._burst = burst
        self._rate = rate
        self._accounts: dict[int, Account] = {}

    def open(self, uid: int, now: float) -> bool:
        """Charge a connection; False when ``uid`` has as many as it may."""
        account = self._accounts.get(uid)
        if account is None:
            account = self._accounts[uid] = Account(Bucket(self._burst, now))
        if uid != 0 and account.connections >= self._connections:
            return False
        account.connections += 1
        return True

    def close(self, uid: int) -> None:
        """Give a connection back."""
        account = self._accounts[uid]
        account.connections -= 1
        if account.connections < 0:
            raise RuntimeError(f"uid {uid} gave back more connections than it had")

    def request(self, uid: int, now: float) -> float:
        """Charge a request. Returns 0.0, or the boot time before which it must wait."""
        if uid == 0:
            return 0.0
        return self._accounts[uid].bucket.take(self._burst, self._rate, now)

    def charge(self, uid: int, seconds: float) -> None:
        """Charge the time that a request took: a dear one counts as many cheap ones."""
        account = self._accounts.get(uid)
        if account is not None:
            account.bucket.tokens -= seconds / limits.SECONDS_PER_TOKEN

    def prune(self, now: float) -> None:
        """Forget uids without connections whose bucket is full again."""
        full = self._burst / self._rate
        idle = [u for u, a in self._accounts.items() if not a.connections]
        for uid in idle:
            if now - self._accounts[uid].bucket.at > full:
                del self._accounts[uid]
