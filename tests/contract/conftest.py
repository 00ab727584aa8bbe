"""Monitors on simulated GPUs, on NVML with a stub of the driver's library, on a real GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mgpu.gpus.base import Monitor
from mgpu.gpus.link import open_monitor
from mgpu.gpus.memory import Memory
from tests.lib.fakenvml import FakeDriver, build
from tests.lib.monitors import NOW, SIMULATED, TWO, Open, settings


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """The stub, showing two GPUs."""
    fake = FakeDriver(tmp_path / "state")
    fake.show(*TWO)
    for name, value in fake.environment(library).items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens monitors and closes them after the test."""
    monitors: list[Monitor] = []

    def open_one(
        backend: str,
        simulated: list[dict[str, Any]] = SIMULATED,
        memory: Memory | None = None,
    ) -> Monitor:
        monitors.append(open_monitor(settings(backend, simulated), NOW, memory))
        return monitors[-1]

    yield open_one
    for monitor in monitors:
        monitor.close()


@pytest.fixture(params=["simulated", "nvml", pytest.param("real", marks=pytest.mark.gpu)])
def monitor(request: pytest.FixtureRequest, opened: Open) -> Monitor:
    """One of each kind."""
    if request.param == "nvml":
        request.getfixturevalue("driver")
    return opened("simulated" if request.param == "simulated" else "nvml")
