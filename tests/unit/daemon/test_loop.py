"""The event loop: who is called when, and how long it sleeps."""

from __future__ import annotations

import os
import socket
from functools import partial

import pytest

from mgpu.daemon.loop import LONGEST, READ, WRITE, Loop
from mgpu.model.time import Now


class Ticking:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.boot = 100.0

    def __call__(self) -> Now:
        return Now(0.0, self.boot)


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def loop(clock: Ticking) -> Loop:
    return Loop(clock)


def note(said: list[str], what: str, _mask: int, _now: Now) -> None:
    said.append(what)


def test_the_end_of_the_turn_comes_after_all_handlers(loop: Loop) -> None:
    said: list[str] = []
    pairs = [socket.socketpair() for _ in range(3)]
    for number, (ours, theirs) in enumerate(pairs):
        theirs.send(b"x")
        loop.watch(ours.fileno(), partial(note, said, f"fd{number}"))
    loop.turn(lambda _now: said.append("end"), 0)
    assert sorted(said[:3]) == ["fd0", "fd1", "fd2"]
    assert said[3:] == ["end"]
    for pair in pairs:
        for end in pair:
            end.close()


def test_all_handlers_of_a_turn_see_one_instant(loop: Loop, clock: Ticking) -> None:
    seen: list[float] = []
    reader, writer = os.pipe()
    os.write(writer, b"x")

    def handler(_mask: int, now: Now) -> None:
        clock.boot += 5
        seen.append(now.boot)

    loop.watch(reader, handler)
    loop.turn(lambda now: seen.append(now.boot), 0)
    assert seen == [100.0, 100.0]
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("deadlines", "timeout"),
    [
        ([], None),
        ([None], None),
        ([None, 102.0, 101.0], 1.001),
        ([50.0], 0.0),
        ([0.0, None], 0.0),
        ([1e300], LONGEST),
    ],
)
def test_it_sleeps_until_the_earliest_deadline(
    loop: Loop, deadlines: list[float | None], timeout: float | None
) -> None:
    slept = loop._timeout(deadlines)
    assert slept == (None if timeout is None else pytest.approx(timeout))


def test_the_kernel_takes_its_longest_sleep(loop: Loop) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")
    loop.watch(reader, lambda _mask, _now: None)
    loop.turn(lambda _now: None, loop._timeout([1e300]))
    os.close(reader)
    os.close(writer)


def test_it_runs_until_it_is_stopped(loop: Loop) -> None:
    turns: list[int] = []

    def end(_now: Now) -> None:
        turns.append(1)
        if len(turns) == 3:
            loop.stop()

    loop.run(end, lambda: [0.0])
    assert len(turns) == 3


def test_an_event_of_a_closed_descriptor_is_not_given_to_its_successor(loop: Loop) -> None:
    """A handler closes another ready descriptor, and its number is used again at once."""
    pairs = [socket.socketpair() for _ in range(2)]
    ends = [ours for ours, _ in pairs]
    wrong: list[int] = []
    new: list[int] = []
    spare, held = socket.socketpair()

    def replace_other(mine: int, _mask: int, _now: Now) -> None:
        if new:
            return
        number = ends[1 - mine].fileno()
        loop.forget(number)
        os.dup2(spare.fileno(), number)  # closes the other one and takes its number
        new.append(number)
        loop.watch(number, lambda _mask, _now: wrong.append(number))

    for place, (ours, theirs) in enumerate(pairs):
        theirs.close()
        loop.watch(ours.fileno(), partial(replace_other, place))
    loop.turn(lambda _now: None, 0)
    assert new
    assert not wrong
    for end in (spare, held, *ends):
        end.close()


def test_what_is_watched_for_can_change(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    masks: list[int] = []
    loop.watch(ours.fileno(), lambda mask, _now: masks.append(mask))
    loop.turn(lambda _now: None, 0)
    loop.change(ours.fileno(), READ | WRITE)
    loop.turn(lambda _now: None, 0)
    loop.change(ours.fileno(), 0)
    theirs.send(b"x")
    loop.turn(lambda _now: None, 0)
    loop.forget(ours.fileno())
    loop.turn(lambda _now: None, 0)
    assert masks == [WRITE]
    ours.close()
    theirs.close()
