"""The waiting tool says what it saw last, and takes a failed assertion for "not yet"."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lib.waiting import eventually, never


def test_returns_the_value_that_was_waited_for() -> None:
    values = iter([0, 1, 2, 3])
    assert eventually(lambda: next(values), until=lambda value: value == 2) == 2


def test_the_last_observation_is_in_the_failure() -> None:
    with pytest.raises(AssertionError, match="the job ends\nlast observation: 'RUNNING'"):
        eventually(lambda: "RUNNING", until=lambda s: s == "DONE", timeout=0.0, what="the job ends")


def test_a_failed_assertion_is_not_yet() -> None:
    def attempts() -> Iterator[bool]:
        yield False
        yield True

    tries = attempts()

    def probe() -> str:
        assert next(tries), "too early"
        return "there"

    assert eventually(probe) == "there"


def test_other_errors_come_through_at_once() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0)


def test_never_fails_when_it_happens() -> None:
    never(lambda: False, for_seconds=0.02)
    with pytest.raises(AssertionError, match="should not"):
        never(lambda: True, for_seconds=0.02)
