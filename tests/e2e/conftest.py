"""Users and daemons for the end-to-end tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lib import stubbox
from tests.lib import users as accounts
from tests.lib.daemon import Daemon
from tests.lib.receivers import MailServer, WebServer
from tests.lib.users import User

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs root."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.root)


@dataclass(frozen=True, slots=True)
class Users:
    """alice and bob are ordinary users, carol is in the administrators' group."""

    alice: User
    bob: User
    carol: User


@pytest.fixture(scope="session")
def users() -> Users:
    """Accounts of this run; they vanish with the box."""
    accounts.make_service_account()
    return Users(
        alice=accounts.make("alice"),
        bob=accounts.make("bob"),
        carol=accounts.make("carol", "--groups", accounts.ADMIN_GROUP),
    )


@pytest.fixture
def alice(users: Users) -> User:
    """An ordinary user."""
    return users.alice


@pytest.fixture
def bob(users: Users) -> User:
    """Another ordinary user."""
    return users.bob


@pytest.fixture
def carol(users: Users) -> User:
    """An administrator who is not root."""
    return users.carol


@pytest.fixture(autouse=True)
def no_old_logs(users: Users) -> Iterator[None]:
    """Take the jobs' logs away: each daemon begins with job 1."""
    yield
    for user in (users.alice, users.bob, users.carol):
        shutil.rmtree(user.home / ".local", ignore_errors=True)


@pytest.fixture
def make_daemon(users: Users) -> Iterator[Callable[..., Daemon]]:
    """Start daemons with settings of their own: ``make_daemon({"access": {...}}, flags=[...])``."""
    with ExitStack() as stack:

        def make(*args: Any, **options: Any) -> Daemon:
            return stack.enter_context(Daemon(*args, **options))

        yield make


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A running daemon with two simulated GPUs of 16 GiB."""
    return make_daemon()


@pytest.fixture(scope="module")
def refusing(users: Users) -> Iterator[Daemon]:
    """A daemon for tests whose requests are all refused: they leave no job and can share it."""
    with Daemon() as one:
        yield one


@pytest.fixture(scope="module")
def driver() -> Iterator[None]:
    """NVIDIA's driver library as a stub, where the loader finds it."""
    with stubbox.installed():
        yield


@pytest.fixture
def make_box(
    driver: None, make_daemon: Callable[..., Daemon]
) -> Iterator[Callable[..., stubbox.Box]]:
    """Start daemons on the stub, with settings of ``[gpus]``."""
    boxes: list[stubbox.Box] = []

    def make(**gpus: object) -> stubbox.Box:
        boxes.append(stubbox.Box(make_daemon, **gpus))
        return boxes[-1]

    yield make
    for box in boxes:
        box.end()


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A server of webhooks on loopback."""
    with WebServer() as server:
        yield server


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server on loopback."""
    with MailServer() as server:
        yield server
