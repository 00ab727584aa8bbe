"""Machines with the Debian package in them, for the tests that scripts/test-systemd runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.lib.machine import Machine, lower, package

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs what scripts/test-systemd prepares."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.machine)
            if lower() is None:
                item.add_marker(pytest.mark.skip(reason="use scripts/test-systemd"))


@pytest.fixture(scope="session")
def deb() -> Path:
    """The package as it was built."""
    return package()


@contextmanager
def booted(name: str) -> Iterator[Machine]:
    """A machine that is gone afterwards."""
    machine = Machine(name)
    machine.up()
    try:
        yield machine
    finally:
        machine.down()


@pytest.fixture
def boot() -> Iterator[Callable[[str], Machine]]:
    """Boot machines of this test alone."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(booted(name))


@pytest.fixture
def fresh(boot: Callable[[str], Machine], deb: Path) -> Machine:
    """A machine of this test alone, on which mgpu serves."""
    return serving(boot("fresh"), deb)


@pytest.fixture(scope="module")
def machine(deb: Path) -> Iterator[Machine]:
    """A machine of the module's, on which mgpu serves."""
    with booted("main") as one:
        yield serving(one, deb)


def serving(machine: Machine, deb: Path) -> Machine:
    """Install mgpu for three users on two simulated GPUs."""
    machine.install(deb)
    machine.make_users()
    machine.configure()
    return machine
