"""The accounting of connections and requests."""

from __future__ import annotations

import pytest

from mgpu.daemon.charges import Ledger


def test_a_burst_then_the_rate() -> None:
    ledger = Ledger(32, 3, 2)
    ledger.open(1, 100.0)
    assert [ledger.request(1, 100.0) for _ in range(3)] == [0.0] * 3
    assert ledger.request(1, 100.0) == pytest.approx(100.5)
    assert ledger.request(1, 100.5) == 0.0
    assert ledger.request(1, 100.5) == pytest.approx(101.0)


def test_a_clock_that_stands_or_goes_back_gives_nothing() -> None:
    ledger = Ledger(32, 1, 1)
    ledger.open(1, 100.0)
    assert ledger.request(1, 100.0) == 0.0
    assert ledger.request(1, 50.0) > 50.0


def test_more_returned_than_taken_is_a_bug_and_says_so() -> None:
    ledger = Ledger(32, 1, 1)
    ledger.open(1, 0.0)
    ledger.close(1)
    with pytest.raises(RuntimeError, match="uid 1"):
        ledger.close(1)


def test_uids_are_forgotten_once_their_allowance_is_whole_again() -> None:
    ledger = Ledger(32, 10, 1)
    for uid in range(1000, 2000):
        ledger.open(uid, 0.0)
        ledger.request(uid, 0.0)
        ledger.close(uid)
    ledger.open(5, 0.0)
    ledger.prune(9.0)
    assert len(ledger._accounts) == 1001
    ledger.prune(11.0)
    assert [*ledger._accounts] == [5]


def test_connections_of_one_are_no_limit_for_another() -> None:
    ledger = Ledger(2, 1, 1)
    assert [ledger.open(1, 0.0) for _ in range(3)] == [True, True, False]
    assert ledger.open(2, 0.0)
    ledger.close(1)
    assert ledger.open(1, 0.0)
    assert all(ledger.open(0, 0.0) for _ in range(100))


def test_a_dear_request_counts_as_many() -> None:
    ledger = Ledger(32, 10, 1)
    ledger.open(1000, 0.0)
    assert ledger.request(1000, 0.0) == 0.0
    ledger.charge(1000, 0.2)
    assert ledger.request(1000, 0.0) == 2.0
    ledger.charge(4711, 0.2)  # its last connection has gone meanwhile
