"""Asking: the answer, its errors, and what happens when the server goes away or is a stranger."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import pytest

from mgpu.client import session, transport
from mgpu.client.address import Address
from mgpu.client.session import Session
from mgpu.model.errors import MgpuError
from tests.lib.fake_server import FakeServer, HangUp, Message

OK: Message = {"ok": {"n": 1}}


Asked = Callable[..., Session]


@pytest.fixture
def asked() -> Iterator[Asked]:
    sessions: list[Session] = []

    def make(path: str, timeout: float | None = 5.0) -> Session:
        sessions.append(Session(Address(path), timeout))
        return sessions[-1]

    yield make
    for session_ in sessions:
        session_.close()


def test_an_answer_in_parts(path: str, asked: Asked) -> None:
    with FakeServer(path, lambda _: [{"part": {"a": 1}}, {"part": {"a": 2}}, OK]) as server:
        reply = asked(path).ask({"op": "jobs"})
    assert (reply.parts, reply.body) == ([{"a": 1}, {"a": 2}], {"n": 1})
    assert server.greetings == [[1, 1]]
    assert server.requests == [{"op": "jobs"}]


def test_one_connection_serves_many_requests(path: str, asked: Asked) -> None:
    with FakeServer(path, lambda _: [OK]) as server:
        session_ = asked(path)
        for _ in range(3):
            assert session_.ask({"op": "ping"}).body == {"n": 1}
        session_.close()
    assert server.connections == 1


def test_an_error_of_the_server(path: str, asked: Asked) -> None:
    body = {"code": "Refused", "message": "no", "path": "spec.gpus", "hint": "ask for less"}
    with FakeServer(path, lambda _: [{"error": body}]), pytest.raises(MgpuError) as caught:
        asked(path).ask({"op": "submit"})
    assert (caught.value.code, str(caught.value)) == ("Refused", "spec.gpus: no")
    assert caught.value.hint == "ask for less"


def test_an_error_code_of_a_newer_server(path: str, asked: Asked) -> None:
    server = FakeServer(path, lambda _: [{"error": {"code": "New", "message": "no"}}])
    with server, pytest.raises(MgpuError) as caught:
        asked(path).ask({"op": "ping"})
    assert (caught.value.code, str(caught.value)) == ("Refused", "no (New)")


def test_a_refused_greeting(path: str, asked: Asked) -> None:
    server = FakeServer(path, lambda _: [])
    server.greeting = {"error": {"code": "Version", "message": "too old"}}
    with server, pytest.raises(MgpuError, match="too old") as caught:
        asked(path).ask({"op": "ping"})
    assert caught.value.exit_status == 69


@pytest.mark.parametrize("greeting", [{"hello": 1}, {"mgpu": "1"}])
def test_a_server_of_something_else(path: str, greeting: Message, asked: Asked) -> None:
    server = FakeServer(path, lambda _: [OK])
    server.greeting = greeting
    with server, pytest.raises(MgpuError, match="does not speak"):
        asked(path).ask({"op": "ping"})


@pytest.mark.parametrize("answer", [{"what": 1}, {"ok": 3}, {"error": "x"}])
def test_an_answer_without_sense(path: str, answer: Message, asked: Asked) -> None:
    with FakeServer(path, lambda _: [answer]), pytest.raises(MgpuError, match="makes no sense"):
        asked(path).ask({"op": "ping"})


def test_after_a_break_the_same_request_is_asked_again(path: str, asked: Asked) -> None:
    def answer(_: Message) -> Iterable[Message]:
        if len(server.requests) < 3:
            yield {"part": {"lost": True}}
            raise HangUp
        yield OK

    with FakeServer(path, answer) as server:
        reply = asked(path).ask({"op": "submit", "key": "k"})
    assert reply.parts == []
    assert server.requests == [{"op": "submit", "key": "k"}] * 3
    assert server.connections == 3


def test_a_server_that_closed_an_idle_connection(path: str, asked: Asked) -> None:
    with FakeServer(path, lambda _: [OK]) as server:
        session_ = asked(path)
        session_.ask({"op": "ping"})
        assert session_._transport is not None
        session_._transport._socket.shutdown(socket.SHUT_RDWR)
        assert session_.ask({"op": "ping"}).body == {"n": 1}
    assert server.connections == 2


def test_nobody_there_is_said_at_once(path: str, asked: Asked) -> None:
    with pytest.raises(MgpuError, match=f"no mgpu daemon answers at {path}$") as caught:
        asked(path).ask({"op": "ping"})
    assert caught.value.exit_status == 69


def test_a_stale_socket_file_is_nobody(path: str, asked: Asked) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with pytest.raises(MgpuError, match="no mgpu daemon answers"):
        asked(path).ask({"op": "ping"})


def test_patience_ends(path: str, monkeypatch: pytest.MonkeyPatch, asked: Asked) -> None:
    monkeypatch.setattr(session, "SOCKET_PATIENCE", 0.05)
    with FakeServer(path, lambda _: [OK]):
        session_ = asked(path)
        session_.ask({"op": "ping"})
    with pytest.raises(MgpuError, match=r"no mgpu daemon answers at .* \(waited 0 s\)"):
        session_.ask({"op": "ping"})


def test_pauses_grow_and_are_bounded() -> None:
    pauses = session.growing_pauses()
    steps = [next(pauses) for _ in range(30)]
    assert all(later[0] == pytest.approx(sum(step), abs=1e-9) for step, later in pairwise(steps))
    assert max(pause for _, pause in steps) == 2.0
    assert sum(1 for waited, _ in steps if waited < session.PATIENCE) < 30


def test_no_answer_in_time(path: str, asked: Asked) -> None:
    def answer(_: Message) -> Iterable[Message]:
        client_done.recv(1)
        return []

    here, client_done = socket.socketpair()
    with here, client_done, FakeServer(path, answer):
        with pytest.raises(MgpuError, match=r"no answer within 0\.05 s"):
            asked(path, 0.05).ask({"op": "ping"})
        here.send(b"x")


def test_a_full_queue_of_connections_is_waited_for(path: str, asked: Asked) -> None:
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
        full.bind(path)
        full.listen(0)
        first.connect(path)
        with pytest.raises(MgpuError, match=r"no answer within 0\.05 s"):
            asked(path, 0.05).ask({"op": "ping"})


def test_a_path_that_is_no_socket_address(asked: Asked) -> None:
    with pytest.raises(MgpuError, match="AF_UNIX path too long"):
        asked("/" + "x" * 200).ask({"op": "ping"})


class Peer:
    """A socket whose other end has some uid."""

    def __init__(self, uid: int) -> None:
        self.uid = uid

    def getsockopt(self, _level: int, _option: int, _size: int) -> bytes:
        return struct.pack("3I", 77, self.uid, self.uid)


@pytest.mark.parametrize(("uid", "service_uid"), [(0, None), (0, 990), (990, 990)])
def test_trusted(uid: int, service_uid: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_uid_of", lambda _user: service_uid)
    transport.check_server(Peer(uid), Address("/x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("uid", "service_uid"), [(1000, 990), (1000, None), (2**32 - 1, None)])
def test_untrusted(uid: int, service_uid: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_uid_of", lambda _user: service_uid)
    with pytest.raises(MgpuError, match=f"runs as uid {uid}, not as root or as mgpu") as caught:
        transport.check_server(Peer(uid), Address("/x"))  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.exit_status) == ("Untrusted", 69)


def test_a_stranger_is_sent_nothing(
    path: str, monkeypatch: pytest.MonkeyPatch, asked: Asked
) -> None:
    def stranger(_socket: object, _address: object) -> None:
        raise MgpuError("Untrusted", "a stranger")

    monkeypatch.setattr(transport, "check_server", stranger)
    server = FakeServer(path, lambda _: [OK])
    with server, pytest.raises(MgpuError, match="a stranger"):
        asked(path).ask({"op": "submit", "env": [b"SECRET=1"]})
    assert (server.greetings, server.requests) == ([], [])
