"""The scheduler of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.daemon.rig import Rig


@pytest.fixture
def make_rig(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    """Makes the scheduler with settings: ``make_rig(limits__request_burst=2)``."""
    made: list[Rig] = []

    def make(**changes: Any) -> Rig:
        made.append(Rig(folder, monkeypatch, **changes))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A scheduler with two simulated GPUs and generous limits of requests."""
    return make_rig(limits__request_burst=100_000)
