"""The one way in which a test waits: look until something is true, and say what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_PAUSE = 0.005


def eventually(
    probe: Callable[[], T],
    *,
    until: Callable[[T], object] = bool,
    timeout: float = 10.0,
    what: str = "",
) -> T:
    """Call ``probe`` until ``until(its value)`` is true and return that value.

    An ``AssertionError`` in ``probe`` counts as "not yet". After ``timeout`` seconds the last
    observation is in the failure: so let ``probe`` return what it saw and ``until`` judge it.
    """
    deadline = time.monotonic() + timeout
    while True:
        seen: object
        try:
            value = probe()
            if until(value):
                return value
            seen = value
        except AssertionError as error:
            seen = f"AssertionError: {error}"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}\nlast observation: {seen!r}")
        time.sleep(_PAUSE)


def never(
    probe: Callable[[], T], *, for_seconds: float, until: Callable[[T], object] = bool
) -> None:
    """Watch ``probe`` for a while and fail if ``until(its value)`` becomes true."""
    deadline = time.monotonic() + for_seconds
    while time.monotonic() < deadline:
        value = probe()
        assert not until(value), f"happened, and should not: {value!r}"
        time.sleep(_PAUSE)
