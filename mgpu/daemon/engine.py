"""One turn of the scheduler: reports and requests become events, events are stored, then told.

The order is the promise (ADR 0003): decide and evolve in memory, schedule, store everything of
the turn in one transaction, and only then answer callers and act on the outside world. When
storing fails, memory is thrown away and loaded again, so that it never holds what is not on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mgpu.core import outsiders
from mgpu.core.decide import decide
from mgpu.core.effects import Effect, required_effects
from mgpu.core.extension import extensions
from mgpu.core.extension import next_change as next_extension
from mgpu.core.lifecycle import evolve, forget_boot
from mgpu.core.policy import Policy
from mgpu.core.requests import Report, Request, Submit
from mgpu.core.schedule import next_deadline, schedule
from mgpu.core.settle import settle
from mgpu.core.world import World
from mgpu.daemon import decisions, dependencies
from mgpu.daemon.audit import Trail
from mgpu.daemon.faults import contained
from mgpu.daemon.leftovers import Leftovers
from mgpu.daemon.mailing import Post
from mgpu.daemon.notices import Notices
from mgpu.daemon.payloads import Payloads
from mgpu.daemon.replies import body_of
from mgpu.model.errors import MgpuError
from mgpu.model.events import Audited, Event, Recorded
from mgpu.model.gpu import Inventory
from mgpu.model.job import Ended, Job
from mgpu.model.records import Recurring
from mgpu.model.runs import Run
from mgpu.model.time import Now
from mgpu.store.base import Batch, Store, StoreError, StoreFull, StoreReadOnly
from mgpu.system import cron
from mgpu.system.log import log

Then = Callable[[Any, Now], None]
Stored = Callable[[World, Sequence[Event], Now], None]
Timed = Callable[[int, Callable[[], Any]], Any]

#: Seconds between two tries to store reports after storing failed; doubled up to the last.
RETRY_FIRST = 1.0
RETRY_LAST = 30.0
#: Seconds between two times at which payloads of ended jobs are dropped.
_FORGET_EVERY = 60.0

#: After these the state on disk is what it was; any other StoreError ends the process.
_NO_SPACE = (StoreFull, StoreReadOnly)


@dataclass(slots=True, eq=False)
class Ask:
    """A request of a caller in this turn: ``then`` gets the reply or the MgpuError.

    ``key`` is the request key of a submit (else empty), ``payload`` what the store keeps for it.
    With ``op``, its name on the wire, it is noted in the audit trail.
    """

    request: Request
    then: Then
    uid: int = -1
    key: str = ""
    payload: bytes = b""
    op: str = ""


@dataclass(slots=True)
class _Turn:
    """What one turn has decided and not yet stored."""

    events: list[Event] = field(default_factory=list)
    replies: list[tuple[Ask, Any]] = field(default_factory=list)
    payloads: dict[int, bytes] = field(default_factory=dict)
    answers: dict[tuple[int, str], Any] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)


class Engine:
    """The world, its store, and the turn that keeps them the same.

    ``act`` is called with the effects of a stored turn, ``on_ended`` with each job that ended,
    ``on_run`` with each attempt that is over.
    ``timed`` does some work at the cost of a uid, which may have ``most_kept`` bytes of payloads.
    Those of jobs that have ended are kept for ``left_for`` seconds.
    ``version`` is another one after each turn in which something happened.
    ``rebooted`` tells that what is stored was written before the machine was started again.
    ``post`` is told of all that happens, ``stored`` of it once it is stored.
    """

    def __init__(
        self,
        store: Store,
        policy: Policy,
        act: Callable[[list[Effect], Now], None],
        observed: Callable[[], dict[tuple[int, int], str]],
        on_ended: Callable[[Job, Now], None],
        boot_id: str = "",
        limits: Callable[[], dict[tuple[int, int], int]] = dict,
        timed: Timed = lambda _uid, work: work(),
        most_kept: int = 0,
        left_for: int = 0,
        post: Post | None = None,
        stored: Stored | None = None,
    ) -> None:
        self._store = store
        self._policy = policy
        self._act = act
        self._observed = observed
        self._limits = limits
        self._timed = timed
        self._most_kept = most_kept
        self._left_for = left_for
        self.on_run: Callable[[Run], None] = lambda _run: None
        self._forget_at: float | None = None
        #: May be another one from the next turn on.
        self.post = post
        self._stored = stored
        self._on_ended = on_ended
        self._boot_id = boot_id
        self._notices = Notices()
        self._inventory = Inventory("none", ())
        self._stuck: dict[int, tuple[int, ...]] = {}
        self._asks: list[Ask] = []
        self._reports: list[Report] = []
        self._notes: list[Audited] = []
        self._trail = Trail()
        self._dirty = self._looked = False
        self._retry_at: float | None = None
        self._retry_delay = RETRY_FIRST
        self.running = False
        self.version = 1
        self.world = self._load()

    def _load(self) -> World:
        loaded = self._store.load()
        left = Leftovers(self._store.leftovers(), self._left_for, self._most_kept)
        self._payloads = Payloads(loaded, self._store.payload_sizes(), self._most_kept, left)
        world = World(
            self._policy,
            self._inventory,
            jobs=loaded.jobs,
            next_id=loaded.next_id,
            next_seq=loaded.next_seq,
            records=loaded.records,
        )
        world.next_run, world.stuck = cron.next_run, self._stuck
        world.dependents.learn(dependencies.of_waiting(world, self._store))
        self._new_boot = loaded.boot_id != self._boot_id
        self.rebooted = self._new_boot and loaded.boot_id != ""
        if self.rebooted:
            forget_boot(world)
        return world

    # -- input of the next turn -----------------------------------------------------------------

    def ask(self, ask: Ask) -> None:
        """Handle a caller's request in the next turn."""
        self._asks.append(ask)

    def note(self, uid: int, op: str, result: Any, jobs: Sequence[object], now: Now) -> None:
        """Keep in the audit trail what came of a request that the core was not asked about."""
        event = self._trail.event(uid, op, result, jobs, now)
        self._notes += [event] if event is not None else []

    def report(self, report: Report) -> None:
        """Handle a report about an attempt in the next turn."""
        self._reports.append(report)

    def stick(self, key: tuple[int, int], pids: tuple[int, ...]) -> None:
        """These processes of an attempt outlive SIGKILL."""
        self._dirty = self.world.stick(key, pids) or self._dirty

    def set_inventory(self, inventory: Inventory) -> None:
        """Use these GPUs from now on."""
        self._inventory = inventory
        self.world.set_inventory(inventory)
        self._dirty = self._looked = True

    def set_policy(self, policy: Policy, most_kept: int, left_for: int) -> None:
        """Decide by these rules from now on; what runs keeps the limits it was started with."""
        self._policy, self._most_kept, self._left_for = policy, most_kept, left_for
        self._payloads.most = self._payloads.left.most = most_kept
        self._payloads.left.seconds = left_for
        self.world.set_policy(policy)
        self.world.judge()
        self._dirty = True

    def start(self) -> None:
        """Begin to schedule: recovery has put in all that it found."""
        if self.post is not None and not self.running:
            self.post.started()
        self.running = True
        self._dirty = True

    def deadlines(self) -> Iterator[float | None]:
        """Boot times at which :meth:`turn` has something to do."""
        if self._asks or self._notes:  # pipelined: they came while the last turn was answered
            yield 0.0
        yield self._retry_at if self._retry_at is not None else self._own_deadline()

    def _own_deadline(self) -> float | None:
        if self._reports or self._dirty:
            return 0.0
        return self._next() if self.running else None

    def _next(self) -> float | None:
        posts = self.post.deadline() if self.post is not None else None
        own = (next_deadline(self.world), next_extension(self.world))
        times = (*own, self._forget_at, posts)
        return min((at for at in times if at is not None), default=None)

    # -- the turn -------------------------------------------------------------------------------

    def turn(self, now: Now) -> None:
        """Everything that has come in since the last one."""
        if not self._due(now):
            return
        asks, self._asks = self._asks, []
        try:
            self._take(asks, now)
        except _NO_SPACE as error:
            self._undo([ask for ask in asks if isinstance(ask.request, Submit)], error, now)
            self._take_old([ask for ask in asks if not isinstance(ask.request, Submit)], now)

    def _take_old(self, asks: list[Ask], now: Now) -> None:
        """Without the new work: the store keeps a reserve for what must not wait."""
        try:
            self._take(asks, now)
        except _NO_SPACE as error:
            self._undo(asks, error, now)
            self._retry_at = now.boot + self._retry_delay
            self._retry_delay = min(RETRY_LAST, self._retry_delay * 2)

    def _take(self, asks: list[Ask], now: Now) -> None:
        turn = _Turn()
        reports, turn.events = list(self._reports), list(self._notes)
        self._notes.clear()  # the log has what cannot be stored
        for report in reports:
            self._apply(turn, decide(self.world, report, now).events)
        for ask in asks:
            self._answer(turn, ask, now)
        if self.running:
            while events := settle(self.world, now):
                self._apply(turn, events)
            plan = schedule(self.world, now)
            self._apply(turn, plan.events)
            self._apply(turn, extensions(self.world, plan.outlook, now))
        if self.post is not None:
            self.post.settle(self.world, now)
        ended = self._store_turn(turn, now)
        del self._reports[: len(reports)]
        self._finish(turn, ended, now)

    def _due(self, now: Now) -> bool:
        if self._asks or self._notes:
            return True
        if self._retry_at is not None:
            return now.boot >= self._retry_at
        deadline = self._own_deadline()
        return deadline is not None and now.boot >= deadline

    def _apply(self, turn: _Turn, events: Sequence[Event], *, asked: bool = False) -> None:
        for event in events:
            if self.post is None:
                evolve(self.world, event)
            else:
                self.post.before(self.world, event, asked=asked)
                evolve(self.world, event)
                self.post.after(self.world, event, asked=asked)
        turn.events += events

    def _answer(self, turn: _Turn, ask: Ask, now: Now) -> None:
        """Decide one request; a refusal changes nothing."""
        try:
            reply = self._remembered(turn, ask)
            if reply is None:
                reply = self._timed(ask.uid, lambda: self._decide(turn, ask, now))
        except MgpuError as error:
            reply = error
        if ask.op:
            jobs = getattr(ask.request, "jobs", ())
            event = self._trail.event(ask.uid, ask.op, reply, jobs, now)
            turn.events += [event] if event is not None else []
        turn.replies.append((ask, reply))

    def _decide(self, turn: _Turn, ask: Ask, now: Now) -> Any:
        request = ask.request
        self._payloads.check(ask.uid, len(ask.payload))
        if isinstance(request, Submit):  # a submission's spec is known by its first job
            spec = replace(request.spec, spec_id=self.world.next_id)
            request = replace(request, spec=spec)
        with contained(type(request).__name__, ask.uid):
            decision = decide(self.world, request, now)
        self._apply(turn, decision.events, asked=True)
        if isinstance(request, Submit):
            self._keep(turn, ask, request.spec.spec_id)
        for event in decision.events:  # a recurring job's is kept as long as itself
            if isinstance(event, Recorded) and isinstance(event.record, Recurring) and ask.payload:
                self._keep(turn, ask, event.record.spec.spec_id)
        reply = body_of(decision.reply)
        if ask.key:
            turn.answers[(ask.uid, ask.key)] = reply
        return reply

    def _keep(self, turn: _Turn, ask: Ask, spec_id: int) -> None:
        turn.payloads[spec_id] = ask.payload
        self._payloads.keep(spec_id, ask.uid, len(ask.payload))

    def _remembered(self, turn: _Turn, ask: Ask) -> Any:
        """What a submission with this key was answered before."""
        if not ask.key:
            return None
        known = turn.answers.get((ask.uid, ask.key))
        return known if known is not None else self._store.answer(ask.uid, ask.key)

    def _store_turn(self, turn: _Turn, now: Now) -> list[Job]:
        """Store the turn in one transaction; returns the jobs that ended in it."""
        new_boot = self._new_boot and self.running
        due = self._payloads.left.due()
        stale = due is not None and due <= now.wall
        if not (turn.events or new_boot or stale or self.world.records.changed):
            return []
        changed = self.world.take_changed()
        turn.runs = self.world.take_closed()
        ended = [job for job in changed if isinstance(job.phase, Ended)]
        released = self._payloads.released(turn.events, changed, ended, now.wall)
        self._store.commit(
            Batch(
                at=now.wall,
                events=turn.events,
                jobs=changed,
                records=self.world.records.take_changed(),
                runs=turn.runs,
                payloads=turn.payloads,
                answers=[(uid, key, reply) for (uid, key), reply in turn.answers.items()],
                meta={"boot_id": self._boot_id} if new_boot else {},
                drop_payloads=released.gone,
                leave_payloads=released.left,
            )
        )
        self._new_boot = self._new_boot and not new_boot
        return ended

    def _finish(self, turn: _Turn, ended: list[Job], now: Now) -> None:
        """The turn is stored: answer, tell, act."""
        self.version += bool(turn.events)
        self._dirty = False
        self._forget_at = self._next_forgetting(now)
        self._retry_at = None
        self._retry_delay = RETRY_FIRST
        for ask, reply in turn.replies:
            ask.then(reply, now)
        for job in ended:
            self._on_ended(job, now)
        decisions.tell(turn.events)
        for run in turn.runs:
            self.on_run(run)
        self._notices.tell(self.world, turn.events)
        if self.post is not None:
            self.post.stored()
        if self._stored is not None:
            self._stored(self.world, turn.events, now)
        if self.running:  # before, what is observed is not yet what there is
            self._act(self._required(now), now)

    def _next_forgetting(self, now: Now) -> float | None:
        """When to drop payloads of ended jobs (boot time); many at once, if they are many."""
        due = self._payloads.left.due()
        return None if due is None else now.boot + max(_FORGET_EVERY, due - now.wall)

    def _required(self, now: Now) -> list[Effect]:
        """The effects that the world asks for; processes are named once for each look at them."""
        effects = required_effects(self.world, self._observed(), self._limits())
        effects += outsiders.kills(self.world, now) if self._looked else []
        self._looked = False
        return effects

    def _undo(self, refused: list[Ask], error: StoreError, now: Now) -> None:
        """Nothing of the turn is stored: forget it and refuse these requests of it."""
        log.error("cannot store", action="store-failed", error=str(error))
        self.world = self._load()
        if self.post is not None:
            self.post.undone()
        refusal = MgpuError(
            "StorageFull",
            f"nothing was changed: {error}",
            hint=error.hint or "free space on the file system of the state folder",
        )
        for ask in refused:
            ask.then(refusal, now)
