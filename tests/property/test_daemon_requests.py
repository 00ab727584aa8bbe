"""Every operation with odd values, from users and administrators: each is answered, by no defect.

Between the requests jobs start, end and fail, time passes, and the scheduler is killed.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from mgpu.core.access import ADMIN, TABLE
from mgpu.core.invariants import check_invariants
from mgpu.model.errors import EXIT_STATUS
from mgpu.protocol import names
from mgpu.store.memory import MemoryStore
from mgpu.store.sqlite import open_store
from tests.lib.odd import SHAPES, Map, Odd
from tests.lib.wire import frame
from tests.unit.daemon.rig import Client, Rig

STEPS = 250
#: The same in every run, as the examples of Hypothesis (tests/conftest.py).
SEEDS = random.sample(range(1 << 32), 6) if os.environ.get("MGPU_TEST_RANDOM") else range(6)
#: Submissions come more often than any other request.
OPERATIONS = [*names.OPERATIONS, *[names.SUBMIT] * 12, *[names.CANCEL, names.WAIT] * 2]


#: These may be answered later: by a job, by news, by the process that reads the history.
_LATER = {names.WAIT, names.NEWS, names.STATS, names.RELOAD, names.BACKUP}


class Play:
    """A scheduler, two users and an administrator that ask, and a seed."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, seed: int) -> None:
        self.odd = Odd(seed)
        (folder / "state").mkdir()
        store = open_store(folder / "state", 1e9) if seed % 2 else MemoryStore()
        self.rig = Rig(
            folder,
            patch,
            store=store,
            limits__request_burst=100_000,
            limits__requests_per_second=100_000,
            limits__pending_per_user=self.odd.pick(20, 300),
            scheduling__order=self.odd.pick("fifo", "fairshare"),
            scheduling__on_time_limit=self.odd.pick("requeue", "extend-when-idle"),
            access__allow_root=True,
            notices__enabled=self.odd.one_in(2),
            notices__smtp_host="mail.example.org",
            metrics__listen="127.0.0.1:9105",
        )
        self.clients = [self.client(who) for who in range(3)]
        self.waits = [False] * 3

    def client(self, who: int) -> Client:
        return self.rig.client(0, admin=True) if who == 0 else self.rig.client(1000 + who)

    def step(self) -> None:
        """One request of somebody, and whatever else happens then."""
        op = self.odd.pick(*OPERATIONS)
        who = self.odd.chance.randrange(3)
        if TABLE[op] == {ADMIN} and not self.odd.one_in(5):
            who = 0
        self.clients[who].take()  # it may have been idle, or have waited, for too long
        if self.clients[who].closed or self.waits[who] or self.odd.one_in(20):
            self.clients[who].close()
            self.rig.settle()
            self.clients[who] = self.client(who)
        request = self.odd.request(op, list(self.rig.active()))
        answers = self.ask(who, request)
        self.judge(request, answers)
        self.waits[who] = not any("part" not in answer for answer in answers)
        self.attempts_go_on()
        if self.odd.one_in(20):
            self.rig.wait(self.odd.pick(1, 30, 4000, 86400))
        if self.odd.one_in(100):
            self.rig.again()
            self.clients = [self.client(who) for who in range(3)]

    def ask(self, who: int, request: Map) -> list[Map]:
        client = self.clients[who]
        data = frame(request)
        while data:
            data = data[client.sock.send(data) :]
            self.rig.settle()
        return client.take()

    def judge(self, request: Map, answers: list[Map]) -> None:
        assert answers or request["op"] in _LATER, f"no answer to {request}"
        for answer in answers:
            code = answer.get("error", {}).get("code", "Refused")
            assert code in EXIT_STATUS
            assert code != "Internal", f"{answer} to {request}"

    def attempts_go_on(self) -> None:
        """Some of what was started runs, ends or fails."""
        alive = [one for one in self.rig.launcher.started.values() if one.payload >= 0]
        for supervisor in [one for one in alive if self.odd.one_in(5)]:
            how = self.odd.pick("running", "ended", "failed", "refused")
            if how == "running":
                supervisor.runs()
                continue
            if how == "refused":
                supervisor.says("refused")
            else:
                supervisor.ends(int(how == "failed"))
            supervisor.close()
            self.rig.launcher.about("gone", supervisor.key)


def test_every_operation_is_asked() -> None:
    assert set(SHAPES) == set(names.OPERATIONS)


@pytest.mark.parametrize("seed", SEEDS)
def test_odd_requests_are_answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    play = Play(folder, monkeypatch, seed)
    try:
        for _ in range(STEPS):
            play.step()
        check_invariants(play.rig.scheduler._engine.world)
    finally:
        play.rig.close()
