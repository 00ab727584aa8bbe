"""Users and daemons for the crash tests, and how many points they walk.

``MGPU_CRASH_POINTS`` is the number of points for each kind of system call (2), or ``all``.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lib import users as accounts
from tests.lib.daemon import Daemon
from tests.lib.users import User

HERE = Path(__file__).parent
_TALLY: Counter[str] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs root."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.root)
            item.add_marker(pytest.mark.crash)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many points were walked."""
    if _TALLY:
        terminalreporter.write_line(f"crash points: {dict(_TALLY)}")


@pytest.fixture
def tally() -> Counter[str]:
    """What is counted over the whole run and shown at its end."""
    return _TALLY


@pytest.fixture(scope="session")
def accounts_made() -> tuple[User, User]:
    """Accounts of this run; they vanish with the box."""
    accounts.make_service_account()
    return accounts.make("dora"), accounts.make("emil")


@pytest.fixture(autouse=True)
def clean_homes(accounts_made: tuple[User, User]) -> None:
    """Each test begins with empty ledgers and without logs."""
    for user in accounts_made:
        (user.home / "ledger").unlink(missing_ok=True)
        shutil.rmtree(user.home / ".local", ignore_errors=True)


@pytest.fixture
def dora(accounts_made: tuple[User, User]) -> User:
    """An ordinary user."""
    return accounts_made[0]


@pytest.fixture
def emil(accounts_made: tuple[User, User]) -> User:
    """Another ordinary user."""
    return accounts_made[1]


@pytest.fixture
def make_daemon(accounts_made: tuple[User, User]) -> Iterator[Callable[..., Daemon]]:
    """Start daemons with settings of their own."""
    with ExitStack() as stack:

        def make(*args: Any, **options: Any) -> Daemon:
            return stack.enter_context(Daemon(*args, **options))

        yield make


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A running daemon with two simulated GPUs of 16 GiB."""
    return make_daemon()


@pytest.fixture
def points() -> Callable[[int], Iterator[int]]:
    """The numbers of calls at which to kill, for a scenario that makes ``total`` of them."""
    wanted = os.environ.get("MGPU_CRASH_POINTS", "2")

    def choose(total: int) -> Iterator[int]:
        if wanted == "all":
            yield from range(1, total + total // 10 + 3)  # no two runs make equally many
            return
        count = min(int(wanted), total)
        yield from sorted({1 + i * (total - 1) // max(count - 1, 1) for i in range(count)})

    return choose
