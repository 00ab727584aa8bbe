"""From what happens to the notifier and back, over crashes of either, on a clock that is turned."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mgpu.model.records import Notice
from mgpu.protocol import link
from mgpu.store.base import Batch, StoreFull
from tests.unit.daemon.outside import received
from tests.unit.daemon.rig import ALICE, BOB, Rig, a_submit

URL = "https://h.org/x"
MakeRig = Callable[..., Rig]
OPEN: list[socket.socket] = []


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


class Notifier:
    """The other end of the line; knows what it was given, as the real one does."""

    def __init__(self, rig: Rig, *, introduced: bool = True) -> None:
        self.rig = rig
        self.held: dict[int, dict[str, Any]] = {}
        self.connect(introduced=introduced)

    def connect(self, *, introduced: bool = True) -> None:
        """A (new) scheduler is given its end, and told what is held."""
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        OPEN.append(self.sock)
        message = {"op": "helper", "name": "notifier"}
        link.send(self.rig.launcher.sock, message, [theirs.fileno()])
        theirs.close()
        self.rig.settle()
        assert received(self.sock) == [{"op": "hello"}]
        held = [[one["id"], one["tries"], one["lane"]] for one in self.held.values()]
        if introduced:
            self.says({"op": "state", "held": held})

    def says(self, message: dict[str, Any]) -> None:
        link.send(self.sock, message)
        self.rig.settle()

    def hears(self) -> list[dict[str, Any]]:
        """The notices that were handed over since the last time."""
        self.rig.settle()
        sent = [one for one in received(self.sock) if one["op"] == "send"]
        self.held.update({one["id"]: one for one in sent})
        return sent

    def tells(
        self, notice: dict[str, Any], *, delivered: bool = True, passing: bool = True
    ) -> None:
        self.held.pop(notice["id"], None)
        result = [notice["id"], notice["tries"], delivered, passing, "HTTP 500"]
        self.says({"op": "outcome", "outcome": result})


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig(notices__enabled=True, notices__window=300, limits__request_burst=100_000)


def waiting(rig: Rig) -> list[Notice]:
    """What is stored."""
    return [one for one in rig.store.load().records if isinstance(one, Notice)]


def an_ended_job(rig: Rig, uid: int = ALICE, **fields: object) -> int:
    job = rig.submit(uid, notify=[URL], **fields)
    rig.supervisor(job).runs()
    rig.supervisor(job).ends(3)
    return job


def test_what_happens_is_stored_with_its_notice_and_handed_over(rig: Rig) -> None:
    an_ended_job(rig)
    assert [(one.event, one.tries) for one in waiting(rig)] == [("job_failed", 0)]
    (sent,) = Notifier(rig).hears()
    assert (sent["target"], sent["tries"], sent["lane"]) == (URL, 1, "user:1001")
    body = json.loads(sent["body"])
    assert list(body) == ["event", "timestamp", "job", "scheduler"]
    assert body["timestamp"] == body["job"]["ended"] == "2023-11-14T22:13:20Z"
    assert (body["job"]["id"], body["job"]["exit_code"]) == ("1", 3)
    assert [(one.tries, bool(one.sent)) for one in waiting(rig)] == [(1, True)]


def test_what_is_delivered_is_forgotten(rig: Rig) -> None:
    notifier = Notifier(rig)
    an_ended_job(rig)
    notifier.tells(notifier.hears()[0])
    assert waiting(rig) == []
    assert {"op": "forget", "ids": [[1, 1]]} in received(notifier.sock)


def test_what_failed_is_handed_over_again_after_a_pause(rig: Rig) -> None:
    notifier = Notifier(rig)
    an_ended_job(rig)
    notifier.tells(notifier.hears()[0], delivered=False)
    rig.wait(9)
    assert notifier.hears() == []
    rig.wait(2)
    assert [one["tries"] for one in notifier.hears()] == [2]


def test_a_new_scheduler_hears_what_the_last_one_did_not(rig: Rig) -> None:
    notifier = Notifier(rig)
    an_ended_job(rig)
    (sent,) = notifier.hears()
    rig.again()
    notifier.connect()
    rig.wait(1000)
    assert notifier.hears() == []
    notifier.tells(sent)
    assert waiting(rig) == []


@pytest.mark.parametrize(
    "words",
    [
        {"op": "outcome"},
        {"op": "outcome", "outcome": 3},
        {"op": "outcome", "outcome": [[], 1, True, True, ""]},
        {"op": "outcome", "outcome": [1, 1, "yes", True, ""]},
        {"op": "state"},
        {"op": "state", "held": [[{}, 1, "user:1001"]]},
    ],
    ids=str,
)
def test_a_notifier_that_says_nonsense_is_heard_no_more(rig: Rig, words: dict[str, Any]) -> None:
    """Strangers answer it; what they make of it must not end the scheduler."""
    notifier = Notifier(rig, introduced=words["op"] == "outcome")
    notifier.says(words)
    an_ended_job(rig)
    with pytest.raises(BrokenPipeError):
        notifier.says(words)
    assert len(Notifier(rig).hears()) == 1


def test_before_the_notifier_has_said_what_it_holds_nothing_is_handed_over(rig: Rig) -> None:
    an_ended_job(rig)
    rig.wait(1000)
    assert [one.tries for one in waiting(rig)] == [0]
    assert len(Notifier(rig).hears()) == 1


def test_what_a_dead_notifier_held_is_handed_to_the_next_after_the_window(rig: Rig) -> None:
    notifier = Notifier(rig)
    an_ended_job(rig)
    notifier.hears()
    notifier.sock.close()
    rig.settle()
    rig.wait(10)
    other = Notifier(rig)
    rig.wait(280)
    assert other.hears() == []
    rig.wait(20)
    assert [one["tries"] for one in other.hears()] == [2]


def test_one_user_s_dead_targets_leave_room_for_others(rig: Rig) -> None:
    notifier = Notifier(rig)
    for _ in range(5):
        an_ended_job(rig)
    assert len(notifier.hears()) == 2
    an_ended_job(rig, BOB)
    assert [one["lane"] for one in notifier.hears()] == ["user:1002"]


def test_a_turn_that_is_not_stored_tells_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    notifier = Notifier(rig)
    job = rig.submit(notify=[URL])
    rig.supervisor(job).runs()
    commit, full = rig.store.commit, [True]

    def refuse(batch: Batch) -> None:
        if full:
            raise StoreFull("full")
        commit(batch)

    monkeypatch.setattr(rig.store, "commit", refuse)
    rig.supervisor(job).ends(1)
    assert notifier.hears() == []
    full.clear()
    rig.wait(60)
    assert [one["event"] for one in notifier.hears()] == ["job_failed"]


def test_who_has_too_many_waiting_is_refused_and_others_are_not(rig: Rig) -> None:
    urls = [f"{URL}/{n}" for n in range(16)]
    for _ in range(7):
        job = rig.submit(notify=urls)
        rig.supervisor(job).runs()
        rig.supervisor(job).ends(0)
    assert len(waiting(rig)) == 100
    error = rig.client().one(a_submit(key="x", notify=urls))["error"]
    assert error["code"] == "LimitReached"
    assert "ok" in rig.client().one(a_submit(key="y"))
    assert "ok" in rig.client(BOB).one(a_submit(key="z", notify=urls))


def test_nothing_wakes_the_scheduler_when_nothing_is_to_be_sent(rig: Rig) -> None:
    notifier = Notifier(rig)
    an_ended_job(rig)
    notifier.tells(notifier.hears()[0])
    assert rig.scheduler._outbox is not None
    assert rig.scheduler._outbox.deadline() is None


def test_a_target_is_in_nobody_s_view(rig: Rig) -> None:
    rig.submit(notify=["https://h.org/secretpath"])
    for uid, admin in ((ALICE, False), (BOB, False), (0, True)):
        rows = rig.client(uid, admin=admin).ask({"op": "jobs", "scope": "all"})
        assert "secretpath" not in repr(rows)


@pytest.mark.parametrize(
    "asked",
    [
        {"notify": [URL, "slack+https://h.org/y#s"]},
        {"mail_user": "a@b.de", "mail_type": ["FAIL", "ARRAY_TASKS"], "notify": [URL]},
        {"mail_user": "a@b.de", "mail_type": ["BEGIN"]},
    ],
)
def test_a_job_that_is_submitted_again_asks_for_the_same(
    asked: dict[str, Any], make_rig: MakeRig
) -> None:
    rig = make_rig(notices__enabled=True, notices__smtp_host="h", limits__request_burst=100_000)
    first = rig.submit(**asked)
    spec = rig.client().one({"op": "submission", "jobs": [first]})["ok"]["spec"]
    again = rig.client().one({"op": "submit", "key": "again", "count": 1, "spec": spec})
    found = rig.job(again["ok"]["first"]).spec.notify
    assert found is not None
    assert found == rig.job(first).spec.notify
