"""The engine on a store that fails at random: memory is what is stored, and no promise is broken.

What was answered stays; what was refused never shows; no attempt is ordered before its start is
stored, none twice; no end is acknowledged before it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mgpu.core import effects, requests
from mgpu.core.invariants import check_invariants
from mgpu.core.policy import Policy
from mgpu.daemon.engine import Ask, Engine
from mgpu.model.errors import MgpuError
from mgpu.model.job import Ended, Job, JobSpec, Pending, Starting
from mgpu.model.time import Now
from mgpu.store.base import Batch, StoreFull, StoreReadOnly
from mgpu.store.memory import MemoryStore
from mgpu.testing.builders import an_inventory

UIDS = st.sampled_from([1001, 1002])
PLACES = st.integers(0, 11)


T = TypeVar("T")


class MoodyStore(MemoryStore):
    """Fails when told, now and then in the middle of a bad stretch."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception | None] = []

    def commit(self, batch: Batch) -> None:
        error = self.failures.pop(0) if self.failures else None
        if error is not None:
            raise error
        super().commit(batch)


class Machine(RuleBasedStateMachine):
    """Callers, supervisors that say what they like, a disk that fills, a scheduler that dies."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MoodyStore()
        self.now = Now(1e9, 1000.0)
        self.accepted: dict[int, tuple[int, str]] = {}
        self.answers: dict[tuple[int, str], Any] = {}
        self.ordered: set[tuple[int, int]] = set()
        self.seen: dict[tuple[int, int], str] = {}
        self.steps = 0
        self.begin()

    def begin(self) -> None:
        self.engine = Engine(
            self.store, Policy(), self.act, lambda: dict(self.seen), self.ended, "boot"
        )
        self.engine.set_inventory(an_inventory(8000, 8000))
        self.engine.start()

    # -- what the engine does ------------------------------------------------------------------

    def act(self, wanted: list[effects.Effect], _now: Now) -> None:
        for effect in wanted:
            assert not isinstance(effect, effects.KillProcess), "nothing is on the GPUs"
            key = (effect.job, effect.attempt)
            stored = self.store.job(effect.job)
            if isinstance(effect, effects.Launch):
                assert stored is not None
                assert isinstance(stored.phase, Starting)
                assert stored.attempt == effect.attempt
                assert key not in self.ordered, "ordered twice"
                self.ordered.add(key)
                self.seen[key] = effects.ORDERED
            elif isinstance(effect, effects.Acknowledge):
                assert stored is None or stored.attempt > effect.attempt or _over(stored)
                self.seen.pop(key, None)
            elif isinstance(effect, effects.Stop):
                self.seen[key] = effects.STOPPING

    def ended(self, job: Job, _now: Now) -> None:
        stored = self.store.job(job.id)
        assert stored is not None
        assert isinstance(stored.phase, Ended)

    # -- what happens --------------------------------------------------------------------------

    @rule(
        uid=UIDS, key=st.sampled_from("abcdefgh"), count=st.integers(1, 3), gpus=st.integers(0, 2)
    )
    def submit(self, uid: int, key: str, count: int, gpus: int) -> None:
        spec = JobSpec(0, "n", "c", "/", gpus, 3000 if gpus else None)
        wish = requests.Submit(uid, "u", spec, 0, count)
        self.engine.ask(Ask(wish, self.told(uid, key), uid, key, b"p"))

    def told(self, uid: int, key: str) -> Any:
        def then(reply: Any, _now: Now) -> None:
            if isinstance(reply, MgpuError):
                return
            first, count = reply["first"], reply["count"]
            assert self.answers.setdefault((uid, key), reply) == reply
            for number in range(first, first + count):
                assert self.store.job(number) is not None, "answered and not stored"
                assert self.accepted.setdefault(number, (uid, key)) == (uid, key)

        return then

    @rule(place=PLACES, stranger=st.booleans())
    def cancel(self, place: int, stranger: bool) -> None:
        job = _at(place, sorted(self.engine.world.jobs.values(), key=lambda job: job.id))
        if job is not None:
            uid = job.uid + stranger
            self.engine.ask(Ask(requests.Cancel((job.id,), uid), lambda _reply, _now: None, uid))

    def attempt(self, place: int) -> tuple[int, int] | None:
        """One of the attempts that have not told their end."""
        return _at(place, sorted(key for key, how in self.seen.items() if how != effects.OVER))

    @rule(place=PLACES)
    def runs(self, place: int) -> None:
        key = self.attempt(place)
        if key is not None:
            self.engine.report(requests.AttemptRunning(*key, 5, 6, self.now))

    @rule(place=PLACES, cause=st.sampled_from(["exit", "exit", "timelimit"]))
    def ends(self, place: int, cause: str) -> None:
        key = self.attempt(place)
        if key is not None:
            self.seen[key] = effects.OVER
            wall = self.now.wall
            self.engine.report(requests.AttemptEnded(*key, 0, None, cause, "", wall, wall))

    @rule(place=PLACES, transient=st.booleans())
    def is_refused(self, place: int, transient: bool) -> None:
        key = self.attempt(place)
        if key is not None:
            self.seen[key] = effects.OVER
            self.engine.report(requests.AttemptRefused(*key, "fork", 11, "", transient=transient))

    @rule(errors=st.lists(st.sampled_from([None, "full", "read-only"]), min_size=1, max_size=5))
    def disk(self, errors: list[str | None]) -> None:
        kinds = {"full": StoreFull("full"), "read-only": StoreReadOnly("read-only")}
        self.store.failures = [kinds[error] if error else None for error in errors]

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 40.0]))
    def turn(self, seconds: float) -> None:
        self.now = Now(self.now.wall + seconds, self.now.boot + seconds)
        self.engine.turn(self.now)

    @rule()
    def the_scheduler_dies(self) -> None:
        for key, stage in self.seen.items():  # what was not acknowledged is told again
            self.seen[key] = effects.LIVE if stage == effects.OVER else stage
        self.begin()

    @invariant()
    def often_a_turn_follows_at_once(self) -> None:
        self.steps += 1
        if self.steps % 3:
            self.engine.turn(self.now)

    # -- what holds ----------------------------------------------------------------------------

    @invariant()
    def memory_is_what_is_stored(self) -> None:
        check_invariants(self.engine.world)
        assert {job.id: job for job in self.store.load().jobs} == self.engine.world.jobs

    @invariant()
    def nothing_accepted_is_lost(self) -> None:
        for number, (uid, _) in self.accepted.items():
            job = self.store.job(number)
            assert job is not None
            assert job.uid == uid

    @invariant()
    def what_needs_a_payload_has_one(self) -> None:
        for job in self.engine.world.jobs.values():
            assert self.store.payload(job.spec.spec_id) == b"p"


def _at(place: int, things: Sequence[T]) -> T | None:
    return things[place % len(things)] if things else None


def _over(job: Job) -> bool:
    return isinstance(job.phase, Ended | Pending)


Machine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestEngine = Machine.TestCase
