"""The walk through the points at which a process is killed, and the errands of a user meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.crash.world import Acts, check
from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

Points = Callable[[int], Iterator[int]]
#: The launcher waits longer after each death of a scheduler in a row.
_DEATHS_IN_A_ROW = 3


def errands(daemon: Daemon, tag: str) -> dict[str, Any]:
    """Submit one, cancel one, submit three at once; see all of them end."""
    acts = Acts(daemon, tag)
    one = acts.submit("one", "exit 3")
    long = acts.submit("long", "exec sleep 600")
    three = acts.submit("three", "exit 0", count=3)
    acts.until(long, "RUNNING")
    acts.cancel(long)
    assert acts.submit("one", "exit 3") == one, "the same key gave another job"
    return {
        "one": one,
        "long": long,
        "three": three,
        "ends": acts.wait(one, long, *three_of(three)),
    }


def three_of(first: int) -> range:
    return range(first, first + 3)


def check_errands(seen: dict[str, Any]) -> list[int]:
    """The ids, all of whose ends are right."""
    one, long, three = seen["one"], seen["long"], [*three_of(seen["three"])]
    assert one < long < three[0], seen
    ends = {int(job): end for job, end in seen["ends"].items()}
    assert ends.pop(one) == ["FAILED", 3, None], seen
    assert ends.pop(long)[0] == "CANCELLED", seen
    assert ends == {job: ["COMPLETED", 0, None] for job in three}, seen
    return [one, long, *three]


class Walk:
    """One daemon through many points."""

    def __init__(self, daemon: Daemon, user: User, tally: Counter[str]) -> None:
        self.daemon = daemon
        self.user = user
        self.ids: list[int] = []
        self._tally = tally
        self._deaths = 0

    def check(self, new: list[int], *, fired: bool, what: str) -> None:
        """After a point: the world is right, and ids have grown."""
        assert min(new) > max(self.ids, default=0), "an id was used again"
        self.ids += new
        self.daemon.wait_ready()
        try:
            check(self.daemon, [self.user], self.ids)
        except AssertionError as error:
            raise AssertionError(f"killed at {what}: {error}\n{self.daemon.log()}") from None
        self._tally["walked"] += 1
        self._tally["kills"] += fired
        self._deaths += fired
        if self._deaths % _DEATHS_IN_A_ROW == 0:
            self.daemon.restart()

    def scheduler(self) -> int:
        pid = eventually(self.daemon.scheduler_pid, what="a scheduler runs")
        assert pid is not None
        return pid
