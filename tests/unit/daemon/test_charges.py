"""The accounting of connections and requests."""

from __future__ import annotations

import pytest

from mgpu.daemon import limits
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
    ledger = Ledger(32, 10, 0.1)
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
    ledger.charge(1000, seconds=0.2)
    assert ledger.request(1000, 0.0) == 2.0
    ledger.charge(4711, seconds=0.2)  # its last connection has gone meanwhile


def test_connects_have_an_allowance_of_their_own() -> None:
    ledger, most = Ledger(32, 3, 2), 3 * limits.CONNECTS_PER_REQUEST
    assert [ledger.connect(1, 100.0) for _ in range(most + 1)] == [True] * most + [False]
    assert ledger.open(1, 100.0)
    assert ledger.request(1, 100.0) == 0.0
    assert ledger.connect(2, 100.0)
    assert all(ledger.connect(0, 100.0) for _ in range(most + 1))
    again = 100.0 + 1 / (2 * limits.CONNECTS_PER_REQUEST)
    assert [ledger.connect(1, again) for _ in range(2)] == [True, False]


def test_a_debt_is_remembered_until_it_is_paid() -> None:
    ledger = Ledger(32, 10, 1)
    ledger.open(1000, 0.0)
    ledger.charge(1000, seconds=1.0)
    ledger.close(1000)
    ledger.prune(20.0)
    assert [*ledger._accounts] == [1000]
    ledger.prune(60.0)
    assert not ledger._accounts


def test_so_many_uids_are_remembered_and_no_more() -> None:
    ledger, many = Ledger(32, 10, 1), 3 * limits.MOST_REMEMBERED
    for uid in range(1, many):
        ledger.connect(uid, 5.0)
    ledger.open(7, 5.0)
    ledger.prune(5.0)
    assert len(ledger._accounts) == limits.MOST_REMEMBERED + 1
    assert 7 in ledger._accounts


def test_no_rate_at_all_is_a_long_wait_and_no_fault() -> None:
    ledger = Ledger(32, 1, 0)
    ledger.open(1, 0.0)
    assert ledger.request(1, 0.0) == 0.0
    assert ledger.request(1, 1.0) > 100.0


def test_a_large_request_counts_as_many() -> None:
    ledger = Ledger(32, 10, 1)
    ledger.open(1000, 0.0)
    assert ledger.request(1000, 0.0, limits.BYTES_PER_TOKEN - 1) == 0.0
    assert ledger.request(1000, 0.0, 16 * limits.BYTES_PER_TOKEN) == 0.0
    assert ledger.request(1000, 0.0) == 9.0  # 10 - 1 - 17, and one is needed


def test_a_request_about_many_jobs_counts_as_many() -> None:
    ledger = Ledger(32, 10, 1)
    ledger.open(1000, 0.0)
    ledger.charge(1000, jobs=limits.JOBS_PER_TOKEN - 1)
    assert ledger.request(1000, 0.0) == 0.0
    ledger.charge(1000, jobs=10 * limits.JOBS_PER_TOKEN)
    assert ledger.request(1000, 0.0) == 2.0


def test_requests_that_are_not_answered_have_a_bound_in_bytes() -> None:
    ledger, most = Ledger(32, 10, 1), limits.UNANSWERED
    for uid in (0, 1, 2):
        ledger.open(uid, 0.0)
    assert ledger.hold(1, most)
    assert not ledger.hold(1, 1)
    assert ledger.hold(2, most)
    assert ledger.hold(0, 9 * most)
    assert ledger.hold(1, -2)
    assert ledger.hold(1, 1)
    with pytest.raises(RuntimeError, match="uid 1"):
        ledger.hold(1, -2 * most)
