"""What is told to whom: the notices that tidings become, and what becomes of each delivery.

Notices are records of the world, so they are stored in the transaction of what they tell of.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from mgpu.core import milestones
from mgpu.core.tidings import Tiding
from mgpu.core.world import World
from mgpu.model.notice import MILESTONES, MOST_WAITING
from mgpu.model.records import Notice
from mgpu.model.time import Now

#: Notices to one target of the configuration that may wait.
MOST_STANDING: Final = 1000
#: Deliveries of one lane that may be under way.
MOST_IN_LANE: Final = 2
#: Seconds before the first retry; doubled up to the last.
FIRST_PAUSE: Final = 10.0
LONGEST_PAUSE: Final = 600.0

_COUNTER: Final = "notice"


class Standing(NamedTuple):
    """A target of the configuration: ``webhook:NAME`` or ``email:NAME``, and what it wants."""

    target: str
    events: frozenset[str]
    users: frozenset[str] = frozenset()
    tasks: bool = False

    def wants(self, tiding: Tiding) -> bool:
        """Whether it is to be told of this."""
        every = "*" in self.events and tiding.event not in MILESTONES
        if not (every or tiding.event in self.events):
            return False
        if self.users and (tiding.job is None or tiding.job.user not in self.users):
            return False
        return tiding.concerns(tasks=self.tasks)


class Rules(NamedTuple):
    """As configured; durations are seconds."""

    standing: tuple[Standing, ...] = ()
    concurrency: int = 16
    retries: int = 3
    window: float = 300.0

    def milestones(self) -> frozenset[str]:
        """The events of runs that go on, as far as somebody wants them of all jobs."""
        named = (one.events for one in self.standing)
        return frozenset[str]().union(*named) & MILESTONES.keys()


class Outcome(NamedTuple):
    """What became of the delivery ``tries`` of a notice; ``why`` names no target."""

    id: int
    tries: int
    delivered: bool
    passing: bool = False
    why: str = ""


def waiting_of(world: World, lane: str) -> int:
    """How many notices of this lane wait, or are on their way."""
    return sum(one.lane == lane and not one.done for one in world.records.all(Notice))


def lane_of(uid: int) -> str:
    """Whose turn the notices of a user's jobs take."""
    return f"user:{uid}"


def take(
    world: World, rules: Rules, tidings: Iterable[Tiding], body: Callable[[Tiding], str], now: Now
) -> list[str]:
    """Put what is to be told into the world; of what is dropped, the lane that is full."""
    full: list[str] = []
    waiting: Counts[str] | None = None
    for tiding in tidings:
        text = ""
        for lane, uid, target in _targets(rules, tiding):
            if _is_known(world, rules, tiding, target, now):
                continue
            if waiting is None:
                waiting = Counts(one.lane for one in world.records.all(Notice) if not one.done)
            if waiting[lane] >= (MOST_WAITING if uid else MOST_STANDING):
                full.append(lane)
                continue
            waiting[lane] += 1
            text = text or body(tiding)
            about = (tiding.event, tiding.about, target, text)
            number = world.records.number(_COUNTER)
            world.records.put(number)
            world.records.put(Notice(number.last, uid, lane, *about, now.wall, now.wall))
    return full


def _targets(rules: Rules, tiding: Tiding) -> Iterator[tuple[str, int, str]]:
    """Lane, uid and target of all who are to be told."""
    for standing in rules.standing:
        if standing.wants(tiding):
            yield standing.target, 0, standing.target
    job = tiding.job
    notify = job.spec.notify if job is not None else None
    if job is None or notify is None or tiding.event not in notify.events:
        return
    if tiding.concerns(tasks=notify.tasks):
        for target in notify.targets:
            yield lane_of(job.uid), job.uid, target


def _is_known(world: World, rules: Rules, tiding: Tiding, target: str, now: Now) -> bool:
    """Whether the same was told within the window: what comes and goes is told once.

    What a run of a job has used up of its limit is, as long as it goes on.
    """
    once = tiding.event in MILESTONES
    if tiding.job is not None and not once:
        return False
    return any(
        (one.event, one.about, one.target) == (tiding.event, tiding.about, target)
        and (once or abs(now.wall - one.at) < rules.window)
        for one in world.records.all(Notice)
    )


# -- deliveries -----------------------------------------------------------------------------------


def delay(rules: Rules, notice: Notice, now: Now) -> float:
    """Seconds until something is to be done about it, whatever was done to the wall clock.

    One of which it is not known whether it arrived is sent again after the window.
    """
    longest = max(LONGEST_PAUSE, rules.window)
    if notice.done:
        return _within(notice.at + rules.window - now.wall, longest)
    if notice.sent:
        return _within(notice.sent + rules.window - now.wall, longest)
    return _within(notice.due - now.wall, longest)


def _within(seconds: float, longest: float) -> float:
    return min(max(0.0, seconds), longest)


def choose(ready: Iterable[Notice], under_way: Iterable[str], rules: Rules) -> list[Notice]:
    """Those of the ``ready`` to send now: of each lane in turn, so that none waits for another.

    ``under_way`` are the lanes of the deliveries that have not come back.
    """
    busy = Counts(under_way)
    free = rules.concurrency - busy.total()
    lanes: dict[str, list[Notice]] = {}
    for one in ready:
        lanes.setdefault(one.lane, []).append(one)
    ranked = [
        (busy[lane] + place, one.id, one)
        for lane, queue in lanes.items()
        for place, one in enumerate(queue)
        if busy[lane] + place < MOST_IN_LANE
    ]
    return [one for _, _, one in sorted(ranked)[: max(0, free)]]


def sending(world: World, notice: Notice, now: Now) -> Notice:
    """Note that it is handed over."""
    handed = replace(notice, tries=notice.tries + 1, sent=now.wall)
    world.records.put(handed)
    return handed


def settle(world: World, rules: Rules, outcome: Outcome, now: Now) -> Notice | None:
    """Take in how a delivery went; the notice if it is given up, else None.

    What is said of a notice that is gone, or of an earlier delivery, is old.
    """
    notice = world.records.get(Notice, outcome.id)
    if notice is None or notice.tries != outcome.tries or notice.done:
        return None
    again = outcome.passing and notice.tries <= rules.retries
    if again and not outcome.delivered:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (notice.tries - 1))
        world.records.put(replace(notice, sent=0.0, due=now.wall + pause))
        return None
    _finish(world, rules, notice, now)
    return None if outcome.delivered else notice


def _finish(world: World, rules: Rules, notice: Notice, now: Now) -> None:
    """It is over; what may come up again is remembered for the window."""
    passed = notice.about.startswith("job ") or now.wall - notice.at >= rules.window
    if passed and notice.event not in MILESTONES:
        world.records.drop(Notice.__name__, notice.key)
    else:
        world.records.put(replace(notice, sent=0.0, done=True))


def is_needed(world: World, notice: Notice) -> bool:
    """Whether one that is done keeps the same from being told again of a run that goes on."""
    if notice.event not in MILESTONES:
        return False
    return any(milestones.about(job) == notice.about for job in world.placed.values())


def forget(world: World, notice: Notice) -> None:
    """Its window has passed."""
    world.records.drop(Notice.__name__, notice.key)
