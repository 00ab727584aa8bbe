"""Notices on their way: into the world as they come up, to the notifier process, out of the world.

A notice is stored before it is handed over, and marked as handed over before it is. The notifier
remembers what it was given and says so to a new scheduler, so that neither loses a notice nor
sends one twice; what a notifier that died knew is sent again after the window.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from mgpu import __version__
from mgpu.core import milestones, post, tidings
from mgpu.core.post import Outcome, Rules
from mgpu.core.tidings import Tiding
from mgpu.core.world import World
from mgpu.daemon.line import Line
from mgpu.daemon.loop import Loop
from mgpu.model.events import Event
from mgpu.model.gpu import Gpu
from mgpu.model.records import Notice
from mgpu.model.time import Now
from mgpu.system.log import log

_TIMES = ("submitted", "started", "ended", "start")


class Outbox:
    """The engine's :class:`mgpu.daemon.mailing.Post`; a part of the scheduler like the monitor.

    ``delivered`` and ``failed`` count deliveries, for whoever measures.
    """

    def __init__(self, rules: Rules, loop: Loop) -> None:
        self._rules = rules
        self._loop = loop
        self._tidings: list[Tiding] = []
        self._outcomes: list[Outcome] = []
        self._chosen: list[Notice] = []
        self._when: dict[int, float] = {}
        self._scan_at: float | None = 0.0
        self._marks: set[milestones.Mark] = set()
        self._passed = self._marks
        self._passes_at: float | None = 0.0
        self._gpus: dict[str, Gpu] = {}
        self._seen: dict[str, Gpu] = {}
        self._notifier: Line | None = None
        self._held: dict[int, tuple[int, str]] = {}
        self._known = False
        self._full: set[str] = set()
        self.delivered = self.failed = self.dropped = 0

    def set_rules(self, rules: Rules) -> None:
        """Send by these rules from now on; when each notice is due is found out anew."""
        self._rules = rules
        self._when.clear()
        self._scan_at = 0.0

    # -- the notifier ---------------------------------------------------------------------------

    def attach(self, fd: int) -> None:
        """Hand over to the notifier at the other end of ``fd`` from now on."""
        self.detach()
        sock = socket.socket(fileno=fd)
        self._notifier = Line(self._loop, sock, self._hear, helper="notifier")
        self._send({"op": "hello"})

    def detach(self) -> None:
        """The line is over; what was handed over and not heard of is not known any more."""
        if self._notifier is not None:
            self._notifier.close()
        self._notifier = None
        self._held.clear()
        self._known = False

    def _hear(self, now: Now) -> None:
        if self._notifier is None:
            return
        try:
            for message in self._notifier.messages():
                self._told(message, now)
        except (KeyError, TypeError, ValueError) as error:  # strangers answer it: it may be theirs
            self._notifier.reject(error)
        if self._notifier.closed:
            self.detach()

    def _told(self, message: dict[str, Any], now: Now) -> None:
        if message["op"] == "outcome":
            self._outcomes.append(Outcome(*_typed(message["outcome"], int, int, bool, bool, str)))
        elif message["op"] == "state" and not self._known:  # what an earlier scheduler gave it
            held = [_typed(one, int, int, str) for one in message["held"]]
            self._held.update({one: (tries, lane) for one, tries, lane in held})
            self._known = True
        self._scan_at = now.boot

    def _send(self, message: dict[str, Any]) -> bool:
        try:
            if self._notifier is not None:
                self._notifier.send(message)
                return True
        except OSError:
            pass  # it is gone, or has no room, which a healthy one has: its death is seen
        return False

    # -- what the engine asks -------------------------------------------------------------------

    def started(self) -> None:
        """Jobs are scheduled from now on."""
        self._tidings.append(tidings.online())

    def before(self, world: World, event: Event, *, asked: bool) -> None:
        """An event is about to happen; ``asked``: because somebody wants it."""
        self._tidings += tidings.before(world, event, asked=asked)

    def after(self, world: World, event: Event, *, asked: bool) -> None:
        """An event has happened; ``asked``: because somebody wanted it."""
        self._tidings += tidings.after(world, event, asked=asked)

    def settle(self, world: World, now: Now) -> None:
        """Before the turn is stored: put into the world what is to be sent, and what became."""
        if world.gpus is not self._gpus:
            self._tidings += tidings.of_gpus(self._gpus, world)
            self._seen = world.gpus
        self._look(world, now)
        if self._tidings:
            self._drop(post.take(world, self._rules, self._tidings, self._body(now), now))
        for outcome in self._outcomes:
            self._came_back(world, outcome, now)
        due = self._scan_at is not None and now.boot >= self._scan_at
        if self._tidings or self._outcomes or due:
            self._scan(world, now)

    def stored(self) -> None:
        """What was settled is durable: act on it."""
        chosen, outcomes = self._chosen, self._outcomes
        self._tidings, self._outcomes, self._chosen = [], [], []
        self._gpus = self._seen or self._gpus
        self._marks = self._passed
        if outcomes:
            self._send({"op": "forget", "ids": [[one.id, one.tries] for one in outcomes]})
        for notice in chosen:
            self._hand_over(notice)

    def undone(self) -> None:
        """What was settled is not stored. It is told again when its events are."""
        self._chosen = []
        self._tidings = [one for one in self._tidings if one.event == "scheduler_online"]
        self._when.clear()
        self._scan_at = 0.0

    def deadline(self) -> float | None:
        """The boot time at which something is to be done."""
        if self._outcomes:
            return 0.0
        times = (self._scan_at, self._passes_at)
        return min((at for at in times if at is not None), default=None)

    def _look(self, world: World, now: Now) -> None:
        """Tell of the runs that have used up so much of their time limit."""
        wanted = self._rules.milestones()
        found, self._passed, self._passes_at = milestones.look(world, wanted, self._marks, now)
        self._tidings += found

    # -- helpers --------------------------------------------------------------------------------

    def _drop(self, full: list[str]) -> None:
        """Say once of each lane that it is full, until it is not."""
        for lane in full:
            self.dropped += 1
            if lane not in self._full:
                log.warning("too many notices wait", action="notices-dropped", whose=lane)
        self._full = set(full)

    def _came_back(self, world: World, outcome: Outcome, now: Now) -> None:
        self._held.pop(outcome.id, None)
        self._when.pop(outcome.id, None)
        known = world.records.get(Notice, outcome.id)
        given_up = post.settle(world, self._rules, outcome, now)
        if known is None:
            return
        told = {"id": known.id, "event": known.event, "whose": known.lane, "tries": outcome.tries}
        if outcome.delivered:
            self.delivered += 1
            log.debug("sent a notice", action="notice-sent", **told)
            return
        self.failed += given_up is not None
        say = log.warning if given_up is not None else log.info
        text = "gave a notice up" if given_up is not None else "a notice was not taken"
        say(text, action="notice-failed", **told, reason=outcome.why)

    def _scan(self, world: World, now: Now) -> None:
        """Choose what to hand over now, and find out when to look again."""
        ready: list[Notice] = []
        for one in world.records.all(Notice):
            if one.id in self._held:
                continue
            wait = post.delay(self._rules, one, now)
            if self._when.setdefault(one.id, now.boot + wait) > now.boot:
                continue
            if one.done and post.is_needed(world, one):
                self._when[one.id] = now.boot + self._rules.window
            elif one.done:
                post.forget(world, one)
                del self._when[one.id]
            else:
                ready.append(one)
        if self._known:
            lanes = [lane for _, lane in self._held.values()]
            chosen = post.choose(ready, lanes, self._rules)
            self._chosen = [post.sending(world, one, now) for one in chosen]
        later = [at for at in self._when.values() if at > now.boot]
        self._scan_at = min(later, default=None)

    def _hand_over(self, notice: Notice) -> None:
        self._when.pop(notice.id, None)
        message = {
            "op": "send",
            "id": notice.id,
            "tries": notice.tries,
            "lane": notice.lane,
            "event": notice.event,
            "target": notice.target,
            "body": notice.body,
        }
        self._held[notice.id] = (notice.tries, notice.lane)
        if not self._send(message):
            self._outcomes.append(Outcome(notice.id, notice.tries, False, True, "not handed over"))

    def _body(self, now: Now) -> Callable[[Tiding], str]:
        return lambda tiding: body_of(tiding, now)


def _typed(told: Any, *kinds: type) -> list[Any]:
    """A row that the notifier has told, if it is what it should be; else ValueError."""
    if [type(one) for one in told] != list(kinds):
        raise ValueError(f"not a row of the notifier's: {told!r:.80}")
    return list(told)


def body_of(tiding: Tiding, now: Now) -> str:
    """What is sent of a tiding: gflow's shape, with more about the job."""
    facts = {name: _plain(value) for name, value in tiding.facts.items()}
    scheduler = {"host": os.uname().nodename, "version": __version__}
    body = {"event": tiding.event, "timestamp": moment(now.wall), **facts, "scheduler": scheduler}
    return json.dumps(body, ensure_ascii=False)


def _plain(facts: Any) -> Any:
    """Facts with times as people write them, without what there is not."""
    found = {name: value for name, value in facts.items() if value is not None}
    return {name: moment(one) if name in _TIMES else one for name, one in found.items()}


def moment(wall: float) -> str:
    """A Unix time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(int(wall), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def standing(settings: dict[str, Any]) -> Iterator[post.Standing]:
    """The targets of the configuration."""
    for kind in ("webhook", "email"):
        for one in settings[f"notices.{kind}s"]:
            events, users = frozenset(one["events"]), frozenset(one["filter_users"])
            yield post.Standing(f"{kind}:{one['name']}", events, users, one["array_tasks"])


def rules(settings: dict[str, Any]) -> Rules:
    """What the configuration says about sending."""
    return Rules(
        tuple(standing(settings)),
        settings["notices.max_concurrent_deliveries"],
        settings["notices.max_retries"],
        float(settings["notices.window"]),
    )


def waiting(world: World) -> int:
    """How many notices wait, or are on their way."""
    return sum(not one.done for one in world.records.all(Notice))


def opened(settings: dict[str, Any], loop: Loop, recovery: str) -> Outbox | None:
    """The outbox, where notices are sent: not while the state cannot be used."""
    wanted = settings["notices.enabled"] and not recovery
    return Outbox(rules(settings), loop) if wanted else None
