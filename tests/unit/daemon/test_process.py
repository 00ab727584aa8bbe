"""The whole scheduler as a process: it serves, ends when told, and survives kill -9 at any time."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from mgpu.daemon.opening import UNUSABLE
from mgpu.model.job import Ended
from mgpu.store.sqlite import open_store
from tests.lib.waiting import eventually
from tests.lib.wire import Wire, frame
from tests.unit.daemon.outside import Map
from tests.unit.daemon.process import Place, memfd, words_of
from tests.unit.daemon.rig import a_submit

ROUNDS = 30
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    place = Place(folder, random.Random(20))
    place.start()
    yield place
    if place.pid:
        place.kill()
    place.close()


class Caller:
    """Sends a submission and may or may not live to read the answer."""

    def __init__(self, place: Place, key: str, count: int) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(place.path))
        self.sock.sendall(frame({"mgpu": [1, 1]}) + frame(a_submit(key, count)))
        self.sock.setblocking(False)
        self.key = key
        self.count = count
        self._data = b""

    def answer(self) -> Map | None:
        """What was answered, as far as it has come; None when it has not, or never will."""
        try:
            while more := self.sock.recv(65536):
                self._data += more
        except OSError:
            pass
        messages = list(split(self._data))
        return messages[1] if len(messages) > 1 else None


def split(data: bytes) -> Iterator[Map]:
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[:4], "big")
        if len(data) < end:
            return
        yield msgpack.unpackb(data[4:end])
        data = data[end:]


class Book:
    """What was asked, and what was promised."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.promised: dict[str, Map] = {}
        self.open: list[Caller] = []

    def submit(self, place: Place, count: int) -> None:
        key = f"key-{len(self.asked)}"
        self.asked[key] = count
        self.open.append(Caller(place, key, count))

    def ask_again(self, place: Place) -> None:
        for key, count in self.asked.items():
            if key not in self.promised:
                self.open.append(Caller(place, key, count))

    def await_word(self, place: Place) -> None:
        for _ in range(50):
            place.pump()
            if select.select([caller.sock for caller in self.open], [], [], 0.001)[0]:
                return

    def look(self) -> None:
        for caller in list(self.open):
            answer = caller.answer()
            if answer is not None:
                promise = answer["ok"]
                assert self.promised.setdefault(caller.key, promise) == promise
                assert promise["count"] == caller.count
                self.hang_up(caller)

    def hang_up(self, caller: Caller) -> None:
        self.open.remove(caller)
        caller.sock.close()

    def hang_up_all(self) -> None:
        for caller in list(self.open):
            self.hang_up(caller)

    def ids(self) -> list[int]:
        spans = [range(p["first"], p["first"] + p["count"]) for p in self.promised.values()]
        return sorted(number for span in spans for number in span)


def test_no_promise_is_lost_and_no_job_runs_twice_whenever_it_is_killed(place: Place) -> None:
    book, dice = Book(), place.dice
    for _ in range(ROUNDS):
        for _ in range(dice.randrange(1, 4)):
            book.submit(place, dice.choice([1, 1, 2]))
        for _ in range(dice.randrange(8)):
            place.pump(dice.random() * 0.006)
        if dice.random() < 0.5:
            book.await_word(place)  # and kill it in the middle of what comes after
        place.kill(launcher=dice.random() < 0.3)
        book.look()  # what had been answered counts, read or not
        book.hang_up_all()
        place.start()
        book.ask_again(place)

    def all_over() -> tuple[int, int]:
        place.pump(0.002)
        book.look()
        return len(book.asked) - len(book.promised), len(set(book.ids()) - ran(place))

    eventually(all_over, until=lambda left: left == (0, 0), what="all jobs have run")
    eventually(lambda: not working(place), what="all are acknowledged")
    ids = book.ids()
    assert ids == [*range(1, len(ids) + 1)]  # none made twice, none beside those promised
    jobs_run = [job for job, _ in place.executed]
    assert sorted(jobs_run) == ids, "a job ran twice"
    assert len(set(place.orders)) == len(place.orders), "an attempt was ordered twice"
    stop(place)
    check_stored(place, ids)


def working(place: Place) -> bool:
    place.pump(0.002)
    return bool(place.supervisors)


def ran(place: Place) -> set[int]:
    return {job for job, _ in place.executed}


def stop(place: Place) -> None:
    os.kill(place.pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(place.pid, 0)[1]) == 0
    place.pid = 0


def check_stored(place: Place, ids: list[int]) -> None:
    store = open_store(place.state, 0.0)
    for number in ids:
        job = store.job(number)
        assert job is not None
        assert isinstance(job.phase, Ended)
        assert (job.phase.state, job.phase.code) == ("COMPLETED", 0), job
    store.close()
    left = [path.name for path in (place.state / "attempts").iterdir() if any(path.iterdir())]
    assert not left


def test_sigterm_ends_it_and_leaves_the_jobs(place: Place) -> None:
    book = Book()
    book.submit(place, 1)
    eventually(lambda: working(place), what="the job is ordered")
    stop(place)
    assert place.orders == [(1, 1)]
    book.hang_up_all()


def test_it_ends_with_its_launcher(place: Place) -> None:
    place.link.close()
    assert os.waitstatus_to_exitcode(os.waitpid(place.pid, 0)[1]) == 0
    place.pid = 0


def test_it_runs_by_its_descriptors_alone(folder: Path) -> None:
    place = Place(folder, random.Random(1))
    place.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fds = [memfd(place._settings), *(s.fileno() for s in place._listeners), theirs.fileno()]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from mgpu.daemon.main import main"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}; main(sys.argv[1:])", *words_of(fds)], pass_fds=fds
    )
    os.close(fds[0])
    theirs.close()
    with Wire(place.path) as wire:
        assert "ok" in wire.ask({"op": "ping"})[1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    place.close()


def test_a_state_of_a_later_version_is_left_alone(folder: Path) -> None:
    place = Place(folder, random.Random(1))
    store = open_store(place.state, 0.0)
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    place.start()
    assert os.waitstatus_to_exitcode(os.waitpid(place.pid, 0)[1]) == UNUSABLE
    place.close()
