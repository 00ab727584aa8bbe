"""What became of each job that a command named, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mgpu.cli.base import complain, emit

#: The answers that say that something was not done.
NOT_DONE = {
    "started": "has started already",
    "ended": "has ended",
    "unknown": "unknown, or not yours",
}


def tell(done: str, told: Sequence[tuple[int | str, str]], not_done: Mapping[str, str]) -> int:
    """Say to how many it was ``done``, and why not to others; 1 if something was not done."""
    bad = [(name, not_done[word]) for name, word in told if word in not_done]
    for name, text in bad:
        complain(f"job {name}: {text}")
    if good := len(told) - len(bad):
        emit(f"{done} {good} of {len(told)}")
    return int(bool(bad))
