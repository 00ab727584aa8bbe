"""The token bucket: never more than its burst and its rate, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mgpu.daemon.charges import Ledger

STEPS = st.lists(
    st.floats(min_value=0.0, max_value=20.0, allow_nan=False, allow_infinity=False),
    min_size=1,
    max_size=200,
)


@given(STEPS, st.integers(1, 50), st.floats(0.01, 100.0))
def test_never_more_than_the_burst_and_the_rate(
    steps: list[float], burst: int, rate: float
) -> None:
    ledger, now, served = Ledger(1, burst, rate), 1e6, []
    ledger.open(7, now)
    for step in steps:
        now += step
        if not ledger.request(7, now):
            served.append(now)
    for first, start in enumerate(served):
        for last in range(first, len(served)):
            allowed = burst + (served[last] - start) * rate
            assert last - first + 1 <= allowed + 1e-3


@given(STEPS, st.integers(1, 50), st.floats(0.01, 100.0))
def test_who_comes_back_when_told_is_served(steps: list[float], burst: int, rate: float) -> None:
    ledger, now = Ledger(1, burst, rate), 1e6
    ledger.open(7, now)
    for step in steps:
        now += step
        again = ledger.request(7, now)
        if again:
            assert now <= again <= now + 1 / rate + 1e-6
            assert ledger.request(7, again + 1e-3) == 0.0
            now = again + 1e-3


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=300), st.integers(1, 4))
def test_what_is_given_back_is_what_was_taken(
    moves: list[tuple[int, bool]], connections: int
) -> None:
    ledger = Ledger(connections, 5, 1)
    held = dict.fromkeys(range(6), 0)
    for now, (uid, opens) in enumerate(moves):
        if opens:
            allowed = ledger.open(uid, float(now))
            assert allowed == (uid == 0 or held[uid] < connections)
            held[uid] += allowed
        elif held[uid]:
            ledger.close(uid)
            held[uid] -= 1
        ledger.prune(float(now))
    kept = {uid: account.connections for uid, account in ledger._accounts.items()}
    assert {uid: n for uid, n in kept.items() if n} == {uid: n for uid, n in held.items() if n}
