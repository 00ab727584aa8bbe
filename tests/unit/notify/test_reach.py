"""Which addresses webhooks may reach."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from mgpu.model.hosts import is_public, problem_of
from mgpu.notify.reach import Refused, connect


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1"),
        *("ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1"),
        *("2002:7f00:1::", "2002:a00:1::1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1"),
        *("fec0::1", "feff::1", "2a00:1450::5efe:7f00:1", "2a00:1450::200:5efe:10.0.0.1"),
        *("192.88.99.1", "3fff::1", "5f00::1", "2001:20::1"),
        *("2001:0:7f00:1::", "2001:db8::1", "", "localhost", "1.2.3", "0x7f.1"),
    ],
)
def test_an_address_that_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1"]
)
def test_a_public_address(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["localhost", "a.localhost", "printer.local", "db.internal", "127.0.0.1", "::1", "10.0.0.1"],
)
def test_a_host_that_is_refused_without_asking(host: str) -> None:
    assert problem_of(host, ())
    assert not problem_of(host, (host,))


@pytest.mark.parametrize("host", ["example.org", "hooks.slack.com", "1.1.1.1", "2606:4700::1111"])
def test_a_host_that_has_to_be_asked_for(host: str) -> None:
    assert not problem_of(host, ())


class Resolver:
    """Answers with other addresses each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked += 1
        kinds = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kinds, (address, port)) for address in self.answers.pop(0)]


def test_a_name_is_resolved_once_and_the_address_that_was_judged_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = Resolver(["8.8.8.8"], ["127.0.0.1"])
    connected: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(socket.socket, "connect", lambda _self, place: connected.append(place))
    connect("rebinding.example.org", 80, (), 1.0).close()
    assert (resolver.asked, connected) == (1, [("8.8.8.8", 80)])


def test_addresses_that_may_not_be_reached_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(["10.0.0.1", "8.8.8.8"]))
    monkeypatch.setattr(socket.socket, "connect", lambda _self, place: connected.append(place))
    connect("both.example.org", 80, (), 1.0).close()
    assert connected == [("8.8.8.8", 80)]


def test_a_name_without_a_public_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(["10.0.0.1", "::1"]))
    with pytest.raises(Refused, match="no address of the open Internet"):
        connect("inside.example.org", 80, (), 1.0)


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(socket, "getaddrinfo", Resolver(["127.0.0.2", "127.0.0.1"]))
        connect("here", port, ("here",), 1.0).close()


def test_the_error_of_the_last_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(["127.0.0.1"]))
    with pytest.raises(ConnectionRefusedError):
        connect("here", port, ("here",), 1.0)
