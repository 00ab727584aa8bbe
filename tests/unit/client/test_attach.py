"""Waiting for a terminal: each word of the scheduler, its line, and what outlives its restart."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from mgpu.client import session
from mgpu.client.address import Address
from mgpu.client.attach import Attachment
from mgpu.model.errors import MgpuError
from mgpu.protocol.codec import pack
from mgpu.protocol.frames import frame
from tests.lib.fake_server import FakeServer, HangUp, Message

WHY: Message = {"state": "PENDING", "reason": "Resources", "detail": "none is free"}


@pytest.fixture
def attachment(path: str) -> Iterator[Attachment]:
    made = Attachment(Address(path), 42, read_only=True)
    yield made
    made.close()


def test_it_says_why_and_then_how_it_ended(path: str, attachment: Attachment) -> None:
    end: Message = {"job": [42, "FAILED", 3, None, ""]}
    with FakeServer(path, lambda _: [{"part": WHY}, {"ok": end}]) as server:
        assert [attachment.take(), attachment.take()] == [WHY, end]
    assert server.requests == [{"op": "attach", "job": 42, "read_only": True, "after": 0}]


def test_a_line_comes_with_the_attempt_and_the_next_one_is_asked_for(
    path: str, attachment: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = socket.socketpair()

    def hand(connection: socket.socket, request: Message) -> None:
        server.requests.append(request)
        body = frame(pack({"ok": {"attempt": 2}}))
        socket.send_fds(connection, [body], [far.fileno()])

    with near, far, FakeServer(path, lambda _: []) as server:
        monkeypatch.setattr(server, "_reply", hand)
        assert attachment.take() == {"attempt": 2}
        with attachment.line() as line:
            assert not os.get_inheritable(line.fileno())
            near.send(b"hello")
            assert line.recv(100) == b"hello"
        attachment.take()
        attachment.line().close()
    assert [request["after"] for request in server.requests] == [0, 2]


def test_a_scheduler_that_restarts_is_asked_again(
    path: str, attachment: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_FIRST_PAUSE", 0.001)
    end: Message = {"ok": {"job": [42, "COMPLETED", 0, None, ""]}}
    asked: list[Message] = []

    def answer(request: Message) -> Iterator[Message]:
        asked.append(request)
        if len(asked) == 1:
            yield {"part": WHY}
        if len(asked) < 3:
            raise HangUp
        yield end

    with FakeServer(path, answer):
        heard = [attachment.take() for _ in range(4)]
    assert [said for said in heard if said] == [WHY, end["ok"]]
    assert len(asked) == 3


def test_a_refusal_is_an_error(path: str, attachment: Attachment) -> None:
    body = {
        "code": "UnknownJob",
        "message": "job 42: unknown, or not yours",
        "path": "",
        "hint": "",
    }
    with FakeServer(path, lambda _: [{"error": body}]), pytest.raises(MgpuError, match="not yours"):
        attachment.take()
