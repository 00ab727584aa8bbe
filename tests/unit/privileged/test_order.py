"""The launcher's check of an order: every field, every wrong type, the account's rules."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.privileged.accounts import Rules
from mgpu.privileged.order import Order, check
from mgpu.privileged.refusal import Refusal

GOOD: dict[str, Any] = {
    "op": "start",
    "job": 1,
    "attempt": 1,
    "uid": 1001,
    "user": "alice",
    "limit": 60,
    "warn": [10, 5],
    "grace": 30,
    "restarts": 0,
    "gpus": [0],
    "uuids": ["GPU-a"],
    "minors": [0],
    "gpu_mem": 100,
}
RULES = Rules(1000, allow_root=False)
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.floats(), st.text(), st.binary(), st.just([]), st.just({}),
    st.integers(max_value=-1), st.integers(min_value=2**63),
)  # fmt: skip


@pytest.fixture
def fds() -> Iterator[list[int]]:
    left, right = socket.socketpair()
    memory = os.memfd_create("payload")
    with left, right:
        yield [memory, left.fileno()]
    os.close(memory)


@pytest.mark.parametrize("value", [[1, 2], [1, 2, 3, 4, -5], [1, 2, 3, 4, True], "12345", {}, 5])
def test_an_array_is_five_numbers(value: object) -> None:
    with pytest.raises(Refusal, match="array: expected five numbers"):
        Order({**GOOD, "array": value})


def test_an_order_may_be_for_a_task() -> None:
    assert Order(GOOD).array is None
    assert Order({**GOOD, "array": [40, 3, 5, 1, 9]}).array == (40, 3, 5, 1, 9)


def test_a_good_order(fds: list[int]) -> None:
    check(GOOD, fds, RULES)
    order = Order(GOOD)
    assert (order.name, order.warn, order.script) == ("1.1", (10, 5), True)
    assert Order({**GOOD, "script": False}).script is False


@given(st.sampled_from(["job", "attempt", "uid", "limit", "grace", "restarts"]), ANYTHING)
def test_numbers_are_numbers(key: str, value: object) -> None:
    with pytest.raises(Refusal, match=key):
        Order({**GOOD, key: value})


@pytest.mark.parametrize("key", sorted(set(GOOD) - {"op", "warn", "gpu_mem"}))
def test_fields_are_needed(key: str) -> None:
    with pytest.raises(Refusal, match=key):
        Order({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize("uid", [-1, 2**32 - 1, 2**32, True, False, "1001", 1001.0])
def test_ids_that_mean_something_else(uid: object) -> None:
    with pytest.raises(Refusal):
        Order({**GOOD, "uid": uid})


@pytest.mark.parametrize(("uid", "word"), [(0, "allow_root"), (1, "min_uid"), (999, "min_uid")])
def test_accounts_that_run_nothing(fds: list[int], uid: int, word: str) -> None:
    with pytest.raises(Refusal, match=word) as refusal:
        check({**GOOD, "uid": uid}, fds, RULES)
    assert (refusal.value.stage, refusal.value.transient) == ("account", True)


def test_root_where_it_is_allowed(fds: list[int]) -> None:
    check({**GOOD, "uid": 0}, fds, Rules(1000, allow_root=True))


def test_no_room_for_descriptors_passes() -> None:
    with pytest.raises(Refusal) as refusal:
        check(GOOD, [], RULES)
    assert refusal.value.transient


def test_the_descriptors(fds: list[int]) -> None:
    for wrong in ([], fds[:1], [*fds, fds[0]], fds[::-1], [fds[0], fds[0]]):
        with pytest.raises(Refusal):
            check(GOOD, wrong, RULES)
