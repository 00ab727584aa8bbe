"""Connections: what a client may do, how long it may take, and what it can never do to others."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from mgpu.daemon import limits
from mgpu.daemon.grants import Grants
from mgpu.system import peer
from tests.lib.wire import frame
from tests.unit.daemon.rig import ALICE, BOB, Rig, a_submit, open_fds, send_with_fds

HELLO = frame({"mgpu": [1, 1]})
PING = frame({"op": "ping"})


def test_the_greeting_is_answered_though_no_request_follows(rig: Rig) -> None:
    client = rig.client(greet=False)
    assert client.ask({"mgpu": [1, 1]}) == [{"mgpu": 1, "version": "0.1.0"}]


def test_the_greeting_and_an_answer_share_one_segment(rig: Rig) -> None:
    client = rig.client(greet=False)
    client.raw(HELLO + PING)
    rig.turn()
    assert [*map(list, client.take())] == [["mgpu", "version"], ["ok"]]


def test_a_client_of_another_version_is_told_and_hung_up_on(rig: Rig) -> None:
    client = rig.client(greet=False)
    (answer,) = client.ask({"mgpu": [7, 9]})
    assert answer["error"]["code"] == "Version"
    client.take()
    assert client.closed


def test_the_first_frame_must_come_within_two_seconds(rig: Rig) -> None:
    client = rig.client(greet=False)
    rig.wait(limits.FIRST_FRAME - 0.1)
    client.take()
    assert not client.closed
    rig.wait(0.2)
    client.take()
    assert client.closed


def test_a_first_frame_that_trickles_gets_no_more_time(rig: Rig) -> None:
    client = rig.client(greet=False)
    for byte in HELLO[:-1]:
        client.raw(bytes([byte]))
        rig.wait(limits.FIRST_FRAME / len(HELLO))
    rig.wait(limits.FIRST_FRAME / len(HELLO) + 0.01)
    client.take()
    assert client.closed


@pytest.mark.parametrize("before", [b"", PING])
def test_a_request_that_has_begun_must_be_whole_within_five_seconds(
    rig: Rig, before: bytes
) -> None:
    client = rig.client()
    client.raw(before + PING[:3])
    rig.settle()
    for _ in range(9):
        rig.wait(limits.WHOLE_REQUEST / 10)
    client.take()
    assert not client.closed
    client.raw(PING[3:4])
    rig.wait(limits.WHOLE_REQUEST / 9)
    client.take()
    assert client.closed


def test_a_request_that_begins_behind_the_greeting_has_five_seconds(rig: Rig) -> None:
    client = rig.client(greet=False)
    client.raw(HELLO + PING[:3])
    rig.settle()
    rig.wait(limits.WHOLE_REQUEST + 0.1)
    client.take()
    assert client.closed


def test_frames_that_follow_each_other_closely_have_five_seconds_each(rig: Rig) -> None:
    client = rig.client()
    stream = PING * 8
    for start in range(0, len(stream), len(PING)):  # cut in the middle of each frame
        client.raw(stream[max(0, start - 3) : start + len(PING) - 3])
        rig.wait(limits.WHOLE_REQUEST - 1)
    assert len(client.take()) == 7
    assert not client.closed


def test_an_idle_client_is_hung_up_on_after_a_minute(rig: Rig) -> None:
    client = rig.client()
    rig.wait(limits.IDLE - 1)
    assert "ok" in client.one({"op": "ping"})
    rig.wait(limits.IDLE - 1)
    client.take()
    assert not client.closed
    rig.wait(2)
    client.take()
    assert client.closed


def test_a_request_may_come_byte_by_byte(rig: Rig) -> None:
    client = rig.client()
    for byte in PING:
        assert not client.take()
        client.raw(bytes([byte]))
        rig.settle()
    assert "ok" in client.take()[0]


def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    client = rig.client()
    first, ping, second, listing, done, bad = client.ask(
        a_submit("a"), {"op": "ping"}, a_submit("b"), {"op": "jobs"}, {"op": "nope"}
    )
    assert (first["ok"]["first"], second["ok"]["first"]) == (1, 2)
    assert "version" in ping["ok"]
    assert [row[0] for row in listing["part"]["rows"]] == [1, 2]
    assert done == {"ok": {"count": 2}}
    assert bad["error"]["code"] == "BadRequest"


def test_thousands_of_pipelined_requests_are_answered(rig: Rig) -> None:
    client = rig.client()
    answers = client.ask(*[{"op": "ping"}] * 2000)
    while len(answers) < 2000 and not client.closed:
        rig.settle()
        answers += client.take()
    assert len(answers) == 2000


def test_what_a_client_sent_before_it_went_is_no_danger(rig: Rig) -> None:
    for many in (1, 2, 50):
        client = rig.client()
        client.raw(PING * many)
        client.close()
        rig.settle()
    assert not rig.scheduler._server._connections


def test_one_request_at_a_time_the_next_is_not_even_read(rig: Rig) -> None:
    rig.launcher.knows_accounts = False
    client = rig.client()
    client.send(a_submit("a"))
    rig.settle()
    client.raw(PING * 1000)
    rig.settle()
    (conn,) = rig.scheduler._server._connections.values()
    assert conn._decoder.buffered == 0
    assert not conn._bodies
    assert not client.take()


@pytest.mark.parametrize(
    ("garbage", "code"),
    [
        (b"\0\0\0\0", "BadRequest"),
        (b"\xff\xff\xff\xff", "TooLarge"),
        (b"\0\0\0\1\xc1", "BadRequest"),
        (b"\0\0\0\2\x81\xc1", "BadRequest"),
        (frame([1, 2]), "BadRequest"),
        (b"GET / HTTP/1.1\r\n\r\n", "TooLarge"),
        (b"\0\0\0\x20" + b"\x91" * 32, "TooLarge"),
    ],
)
def test_garbage_gets_one_typed_error_and_is_hung_up_on(
    rig: Rig, garbage: bytes, code: str
) -> None:
    client = rig.client()
    client.raw(garbage + PING)
    rig.settle()
    (answer,) = client.take()
    assert answer["error"]["code"] == code
    assert client.closed
    assert not rig.scheduler._server._connections


def test_garbage_behind_a_request_is_refused_after_its_answer(rig: Rig) -> None:
    client = rig.client()
    client.raw(PING + frame([1]) + PING)
    rig.settle()
    ok, error = client.take()
    assert "ok" in ok
    assert error["error"]["code"] == "BadRequest"
    assert client.closed


def test_an_error_in_a_field_keeps_the_connection(rig: Rig) -> None:
    client = rig.client()
    answer = client.one({"op": "cancel", "jobs": ["two"]})
    assert answer["error"]["path"] == "jobs[0]"
    assert "ok" in client.one({"op": "ping"})


def use_all_descriptors() -> list[int]:
    hogs: list[int] = []
    try:
        while True:
            hogs.append(os.dup(0))
    except OSError:
        return hogs


# -- many ------------------------------------------------------------------------------------------


def test_a_user_has_so_many_connections_and_another_one_still_gets_in(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(limits__connections_per_user=2)
    held = [rig.client() for _ in range(2)]
    one_more = rig.client(greet=False)
    (answer,) = one_more.take()
    assert answer["error"]["code"] == "LimitReached"
    assert one_more.closed
    assert "ok" in rig.client(BOB).one({"op": "ping"})
    held[0].close()
    rig.settle()
    assert "ok" in rig.client().one({"op": "ping"})


def test_root_is_not_limited(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__connections_per_user=2, limits__request_burst=2)
    root = [rig.client(0) for _ in range(4)]
    assert len(root[0].ask(*[{"op": "ping"}] * 200)) == 200


def test_a_throttled_request_is_served_later(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__request_burst=3, limits__requests_per_second=2)
    client = rig.client()
    assert len(client.ask(*[{"op": "ping"}] * 5)) == 3
    assert "ok" in rig.client(BOB).one({"op": "ping"})
    rig.wait(0.49)
    assert not client.take()
    rig.wait(0.02)
    assert len(client.take()) == 1
    rig.wait(0.5)
    assert len(client.take()) == 1


def test_reconnecting_gives_no_new_allowance(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__request_burst=2)
    client = rig.client()
    assert len(client.ask({"op": "ping"}, {"op": "ping"})) == 2
    client.close()
    rig.settle()
    assert rig.client().ask({"op": "ping"}) == []


def test_a_throttled_client_may_leave(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__request_burst=1)
    client = rig.client()
    client.ask({"op": "ping"}, {"op": "ping"})
    client.close()
    rig.settle()
    rig.wait(10)
    assert not rig.scheduler._server._throttled


def test_accepting_has_a_budget_and_that_of_administrators_is_another(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ACCEPT_BURST", 3.0)
    monkeypatch.setattr(limits, "ACCEPT_RATE", 1.0)
    rig = make_rig()
    early = [rig.client(BOB + n) for n in range(3)]
    late = rig.client(ALICE, greet=False)
    late.raw(HELLO)
    rig.settle()
    assert not late.take()
    rig.uids.insert(0, 0)  # whose connection comes first, as alice's is not accepted yet
    admin = rig.client(ALICE, admin=True)
    assert "ok" in admin.one({"op": "ping"})
    assert "ok" in early[0].one({"op": "ping"})
    rig.wait(1.5)
    assert late.take()


def test_a_turn_accepts_many_and_leaves_the_rest_to_the_next(rig: Rig) -> None:
    with ExitStack() as stack:
        for number in range(limits.ACCEPTS_PER_TURN + 10):
            rig.uids.append(2000 + number)
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(rig.sockets["user"]))
        rig.turn()
        assert len(rig.scheduler._server._connections) == limits.ACCEPTS_PER_TURN
        rig.turn()
        assert len(rig.scheduler._server._connections) == limits.ACCEPTS_PER_TURN + 10


def test_who_connects_in_a_loop_is_told_and_others_are_not(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__request_burst=2, limits__requests_per_second=1)
    for _ in range(limits.CONNECTS_PER_REQUEST * 2):
        rig.client(greet=False).close()
        rig.settle()
    (answer,) = rig.client(greet=False).take()
    assert answer["error"]["code"] == "LimitReached"
    assert "more often" in answer["error"]["message"]
    for uid, admin in ((BOB, False), (0, False), (0, True)):
        assert "ok" in rig.client(uid, admin=admin).one({"op": "ping"})
    rig.wait(1 / limits.CONNECTS_PER_REQUEST)
    assert "ok" in rig.client().one({"op": "ping"})


def test_without_descriptors_accepting_pauses_and_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = rig.client()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = socket.socket(socket.AF_UNIX)
    room = max(map(int, os.listdir("/proc/self/fd"))) + 8
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    try:
        hogs = use_all_descriptors()
        waiting.connect(str(rig.sockets["user"]))
        rig.settle()  # and it comes to rest
        assert "ok" in client.one({"op": "ping"})
        for fd in hogs:
            os.close(fd)
        rig.uids.append(ALICE)
        rig.wait(limits.ACCEPT_PAUSE + 0.01)
        assert len(rig.scheduler._server._connections) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        waiting.close()


def test_a_thousand_clients_that_vanish_leave_nothing(rig: Rig) -> None:
    parts = [HELLO[:2], HELLO, HELLO + PING[:5], HELLO + PING * 3, HELLO + frame(a_submit())[:40]]
    jobs, before = len(rig.active()), open_fds()
    for number in range(1000):
        rig.uids.append(ALICE)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(rig.sockets["user"]))
            sock.send(parts[number % len(parts)])
        if number % 20 == 19:
            rig.clock.forward(0.1)
            rig.settle()
    rig.settle()
    assert not rig.scheduler._server._connections
    assert open_fds() == before
    assert len(rig.active()) == jobs
    assert rig.scheduler._server._ledger._accounts[ALICE].connections == 0


def test_a_client_that_leaves_while_its_account_is_asked_for_leaves_no_job(rig: Rig) -> None:
    rig.launcher.knows_accounts = False
    client = rig.client()
    client.ask(a_submit())
    client.close()
    rig.settle()
    rig.launcher.says({"op": "account", "uid": ALICE, "user": "alice", "problem": ""})
    assert not rig.active()


def test_descriptors_sent_along_are_not_kept(rig: Rig) -> None:
    client = rig.client()
    rig.settle()
    before = open_fds()
    for _ in range(50):
        send_with_fds(client.sock, PING, [0, 0, 0])
        rig.settle()
    assert len(client.take()) == 50
    assert open_fds() == before


def test_nobody_but_administrators_gets_past_the_admin_socket(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.scheduler._server, "grants", Grants(frozenset({4711}), {}))
    stranger = rig.client(ALICE, admin=True, greet=False)
    (answer,) = stranger.take()
    assert answer["error"]["code"] == "Denied"
    assert stranger.closed
    assert "ok" in rig.client(0, admin=True).one({"op": "ping"})


def test_where_a_group_is_named_nobody_else_is_served_whoever_made_the_socket(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    grants = Grants(frozenset(), {}, frozenset({4711}))
    monkeypatch.setattr(rig.scheduler._server, "grants", grants)
    outsider = rig.client(ALICE, greet=False)
    (answer,) = outsider.take()
    assert answer["error"]["code"] == "Denied"
    assert "access.group" in answer["error"]["hint"]
    assert outsider.closed
    assert "ok" in rig.client(0).one({"op": "ping"})
    monkeypatch.setattr(peer, "groups", lambda _: frozenset({4711}))
    assert "ok" in rig.client(ALICE).one({"op": "ping"})
