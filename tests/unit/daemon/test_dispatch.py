"""Requests of clients through real frames: who may ask what, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mgpu.core.access import TABLE
from mgpu.daemon.dispatch import HANDLERS
from mgpu.protocol import messages, names
from mgpu.system.log import log
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, BOB, Client, Rig, a_submit


def test_every_operation_has_a_role_a_parser_and_a_handler() -> None:
    operations = set(names.OPERATIONS)
    assert set(TABLE) == operations
    assert set(messages._PARSERS) == operations
    assert {op for op, _ in HANDLERS.values()} == operations


def test_an_operation_that_is_missing_from_the_table_is_denied(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgpu.core.access.TABLE", {op: TABLE[op] for op in TABLE if op != "ping"})
    answer = rig.client(0, admin=True).one({"op": "ping"})
    assert answer["error"]["code"] == "Denied"


def rows_of(client: Client, **fields: object) -> list[Map]:
    *parts, last = client.ask({"op": "jobs", "scope": "all", **fields})
    rows = [row for part in parts for row in part["part"]["rows"]]
    assert last == {"ok": {"count": len(rows)}}
    names_ = parts[0]["part"]["fields"]
    return [dict(zip(names_, row, strict=True)) for row in rows]


# -- submit ----------------------------------------------------------------------------------------


def test_a_job_belongs_to_the_kernel_s_uid_and_nothing_else_can_be_said(rig: Rig) -> None:
    client = rig.client(ALICE)
    for forged in ({"uid": 0}, {"user": "root"}, {"user": ""}, {"gid": 0}):
        assert client.one(a_submit() | forged)["error"]["code"] == "BadRequest"
        inside = a_submit()
        inside["spec"] |= forged
        assert client.one(inside)["error"]["code"] == "BadRequest"
    job = client.one(a_submit())["ok"]["first"]
    assert (rig.job(job).uid, rig.job(job).user) == (ALICE, f"u{ALICE}")


def test_any_priority_is_for_those_who_come_by_the_admin_socket(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(access__allow_root=True)
    request = a_submit(priority=7)
    assert rig.client(0).one(request)["error"]["code"] == "Denied"
    job = rig.client(0, admin=True).one(request)["ok"]["first"]
    assert rig.job(job).priority == 7


def test_root_and_system_accounts_may_not_submit(rig: Rig) -> None:
    for uid, admin in ((0, False), (0, True), (999, False)):
        answer = rig.client(uid, admin=admin).one(a_submit())
        assert answer["error"]["code"] == "AccountRefused"
    assert not rig.launcher.heard("account")


def test_root_may_submit_where_the_configuration_says_so(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(access__allow_root=True)
    assert rig.job(rig.submit(0)).uid == 0


@pytest.mark.parametrize("problem", ["its shell is nologin", "the account has expired"])
def test_an_account_that_may_not_run_jobs_is_told_why(rig: Rig, problem: str) -> None:
    rig.launcher.problem = problem
    error = rig.client().one(a_submit())["error"]
    assert error["code"] == "AccountRefused"
    assert problem in error["message"]


def test_a_submit_waits_for_the_account_and_nobody_else_does(rig: Rig) -> None:
    rig.launcher.knows_accounts = False
    client = rig.client()
    assert client.ask(a_submit()) == []
    assert "ok" in rig.client(BOB).one({"op": "ping"})
    rig.launcher.says({"op": "account", "uid": ALICE, "user": "alice", "problem": ""})
    assert client.take() == [{"ok": {"first": 1, "count": 1}}]


def test_an_account_that_nobody_can_tell_is_refused_after_a_while(rig: Rig) -> None:
    rig.launcher.knows_accounts = False
    client = rig.client()
    client.send(a_submit())
    rig.settle()
    rig.wait(8.1)
    (answer,) = client.take()
    assert answer["error"]["code"] == "AccountRefused"
    rig.launcher.says({"op": "account", "uid": ALICE, "user": "alice", "problem": ""})
    assert "ok" in client.one(a_submit())


def test_the_same_key_makes_one_submission(rig: Rig) -> None:
    client, other = rig.client(), rig.client()
    first, again, third = client.ask(a_submit("k"), a_submit("k"), a_submit("l"))
    assert first == again == {"ok": {"first": 1, "count": 1}}
    assert third["ok"]["first"] == 2
    assert other.one(a_submit("k")) == first
    assert rig.client(BOB).one(a_submit("k"))["ok"]["first"] == 3
    rig.again()
    assert rig.client().one(a_submit("k")) == first
    assert len(rig.active()) == 3


def test_the_same_key_twice_in_one_turn_makes_one_submission(rig: Rig) -> None:
    one, two = rig.client(), rig.client()
    one.send(a_submit("k"))
    two.send(a_submit("k"))
    rig.settle()
    assert one.take() == two.take() == [{"ok": {"first": 1, "count": 1}}]
    assert len(rig.active()) == 1


def test_a_refused_submission_is_not_remembered(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(limits__pending_per_user=3)
    client = rig.client()
    assert client.one(a_submit("k", 5))["error"]["code"] == "LimitReached"
    assert client.one(a_submit("k", 3))["ok"] == {"first": 1, "count": 3}


def test_a_submission_that_can_never_start_is_refused_with_the_reason(rig: Rig) -> None:
    error = rig.client().one(a_submit(gpus=3))["error"]
    assert (error["code"], error["path"]) == ("Refused", "spec.gpus")


# -- other people's jobs -------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["cancel", "priority"])
def test_a_job_of_somebody_else_is_as_unknown_as_one_that_never_was(rig: Rig, op: str) -> None:
    rig.submit(ALICE, count=3)
    request: dict[str, Any] = {"op": op, "jobs": [3, 77]}
    if op == "priority":
        request["priority"] = -5
    assert rig.client(BOB).one(request) == {"ok": {"jobs": [[3, "unknown"], [77, "unknown"]]}}
    assert rig.client(0).one(request) == {"ok": {"jobs": [[3, "unknown"], [77, "unknown"]]}}
    done = rig.client(0, admin=True).one(request)["ok"]["jobs"]
    assert [outcome for _, outcome in done] in (["cancelled", "unknown"], ["changed", "unknown"])


def test_ended_jobs_of_somebody_else_are_unknown_too(rig: Rig) -> None:
    job = rig.submit(ALICE)
    rig.supervisor(job).runs()
    rig.supervisor(job).ends()
    request = {"op": "cancel", "jobs": [job]}
    assert rig.client(ALICE).one(request)["ok"]["jobs"] == [[job, "ended"]]
    assert rig.client(BOB).one(request)["ok"]["jobs"] == [[job, "unknown"]]
    assert rig.client(0, admin=True).one(request)["ok"]["jobs"] == [[job, "ended"]]


def test_waiting_for_a_job_of_somebody_else_fails_in_the_same_words(rig: Rig) -> None:
    rig.submit(ALICE)
    bob = rig.client(BOB)
    texts = [bob.one({"op": "wait", "jobs": [n]})["error"]["message"] for n in (1, 77)]
    assert texts == ["job 1: unknown, or not yours", "job 77: unknown, or not yours"]


def test_private_fields_are_withheld_from_others(rig: Rig) -> None:
    rig.submit(ALICE, name="secret-name", argv=[b"secret-command"], cwd=b"/secret/cwd")
    failed = rig.submit(ALICE, name="secret-name", argv=[b"secret-command"], cwd=b"/secret/cwd")
    rig.launcher.refuses((failed, 1), stage="chdir", detail="/secret/cwd", transient=False)
    rig.submit(ALICE)
    rig.launcher.refuses((3, 1), stage="open", detail="/secret/log")
    rows = rows_of(rig.client(BOB), ended=True)
    assert len(rows) == 3
    assert "secret" not in str(rows)
    assert [row["name"] for row in rows] == [None] * 3
    for other in (rig.client(ALICE), rig.client(0, admin=True)):
        assert str(rows_of(other, ended=True)).count("secret") > 6
    assert "secret" not in str(rows_of(rig.client(0), ended=True))


def test_an_open_queue_shows_names_and_commands_but_no_paths(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(privacy__queue="open")
    rig.submit(ALICE, name="shown", argv=[b"shown-too"], cwd=b"/secret")
    (row,) = rows_of(rig.client(BOB))
    assert (row["name"], row["command"], row["cwd"]) == ("shown", "shown-too", None)


# -- listing ---------------------------------------------------------------------------------------


def test_a_listing_is_filtered(rig: Rig) -> None:
    rig.submit(ALICE, count=2)
    rig.submit(BOB, count=2)
    rig.supervisor(1).runs()
    rig.supervisor(1).ends()
    bob = rig.client(BOB)

    def ids(**fields: object) -> list[int]:
        return [row["id"] for row in rows_of(bob, **fields)]

    assert ids() == [2, 3, 4]
    assert ids(ended=True) == [2, 3, 4, 1]
    assert ids(scope="me") == [3, 4]
    assert ids(users=[f"u{ALICE}"]) == [2]
    assert ids(states=["PENDING"]) == [4]
    assert ids(states=["COMPLETED"]) == [1]
    assert ids(states=["FAILED"]) == []
    assert ids(jobs=[4, 1, 2, 4, 99]) == [2, 4, 1]
    assert ids(limit=2) == [2, 3]
    assert ids(limit=2, ended=True) == [2, 3]
    assert ids(limit=4, ended=True) == [2, 3, 4, 1]


def test_whose_jobs_are_listed_is_configured(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(queue__default="me")
    rig.submit(ALICE)
    bob = rig.client(BOB)
    assert bob.ask({"op": "jobs"})[-1] == {"ok": {"count": 0}}
    assert bob.ask({"op": "jobs", "scope": "all"})[-1] == {"ok": {"count": 1}}


def test_a_waiting_job_says_why(rig: Rig) -> None:
    rig.submit(count=2)
    rig.submit(gpus=2)
    row = rows_of(rig.client(), states=["PENDING"])[0]
    assert row["reason"] == "Resources"
    assert "gpu0 held by job 1" in row["detail"]


def test_info_shows_the_gpus_and_who_holds_them(rig: Rig) -> None:
    rig.submit(gpu_mem=6000)
    rig.submit(gpu_mem=6000)
    rig.submit(gpus=2)
    info = rig.client(BOB).one({"op": "info"})["ok"]
    assert (info["backend"], info["pending"], info["running"]) == ("simulated", 1, 2)
    first, second = info["gpus"]
    assert (first["reserved"], first["free"]) == (12000, 4384)
    assert [job[:3] for job in first["jobs"]] == [[1, f"u{ALICE}", 6000], [2, f"u{ALICE}", 6000]]
    assert (second["free"], second["jobs"]) == (16384, [])


# -- wait ------------------------------------------------------------------------------------------


def test_wait_tells_each_end_as_it_comes(rig: Rig) -> None:
    rig.submit(count=2)
    client = rig.client()
    assert client.ask({"op": "wait", "jobs": [1, 2, 1]}) == []
    rig.supervisor(2).runs()
    rig.supervisor(2).ends(3)
    assert client.take() == [{"part": {"job": [2, "FAILED", 3, None, ""]}}]
    rig.wait(600)  # it may take long: nobody hangs up
    rig.supervisor(1).runs()
    rig.supervisor(1).ends(None, signal=9)
    assert client.take() == [{"part": {"job": [1, "FAILED", None, 9, ""]}}, {"ok": {}}]
    assert client.ask({"op": "wait", "jobs": [2, 2]}) == [
        {"part": {"job": [2, "FAILED", 3, None, ""]}},
        {"ok": {}},
    ]


def test_news_come_once_something_has_happened(rig: Rig) -> None:
    client = rig.client(BOB)
    (first,) = client.ask({"op": "news", "seen": 0})
    seen = first["ok"]["seen"]
    assert client.ask({"op": "news", "seen": seen}) == []
    rig.wait(600)  # nothing happens, and nobody hangs up
    assert client.take() == []
    rig.submit()
    ((told,),) = [client.take()]
    assert told["ok"]["seen"] != seen
    assert client.ask({"op": "news", "seen": seen}) == [told]  # it was missed meanwhile


def test_who_waits_for_news_and_leaves_is_forgotten(rig: Rig) -> None:
    leaving = rig.client()
    (told,) = leaving.ask({"op": "news", "seen": 0})
    leaving.ask({"op": "news", **told["ok"]})
    leaving.close()
    rig.submit()
    assert not rig.scheduler._dispatcher.news.concerned(-1)


def test_who_waits_and_leaves_is_forgotten(rig: Rig) -> None:
    rig.submit(count=2)
    staying, leaving = rig.client(), rig.client()
    for client in (staying, leaving):
        client.ask({"op": "wait", "jobs": [1, 2]})
    leaving.close()
    rig.settle()
    rig.supervisor(1).runs()
    rig.supervisor(1).ends()
    rig.supervisor(2).runs()
    rig.supervisor(2).ends()
    assert staying.take()[-1] == {"ok": {}}
    waiters = rig.scheduler._dispatcher.waiters
    assert not waiters._by_job
    assert not waiters._left


def test_a_request_behind_a_wait_is_handled_after_it(rig: Rig) -> None:
    rig.submit()
    client = rig.client()
    client.send({"op": "wait", "jobs": [1]}, a_submit("next"))
    rig.settle()
    assert client.take() == []
    rig.supervisor(1).runs()
    rig.supervisor(1).ends()
    assert client.take()[1:] == [{"ok": {}}, {"ok": {"first": 2, "count": 1}}]


# -- recovery mode ---------------------------------------------------------------------------------


def test_recovery_mode_answers_queries_and_refuses_changes(rig: Rig) -> None:
    rig.recovery = "mgpu.db is damaged"
    rig.again()
    client = rig.client()
    ping = client.one({"op": "ping"})["ok"]
    assert (ping["mode"], ping["detail"]) == ("recovery", "mgpu.db is damaged")
    assert "ok" in client.one({"op": "info"})
    assert client.ask({"op": "jobs"})[-1] == {"ok": {"count": 0}}
    changes = [
        a_submit(),
        {"op": "cancel", "jobs": [1]},
        {"op": "priority", "jobs": [1], "priority": 1},
        {"op": "signal", "jobs": [1], "signal": 10},
    ]
    for change in changes:
        error = client.one(change)["error"]
        assert error["code"] == "RecoveryMode"
        assert error["hint"]


# -- audit -----------------------------------------------------------------------------------------


def test_every_change_leaves_one_line_with_uid_operation_and_result(
    rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "level", "info")
    capfd.readouterr()
    rig.client(0).one(a_submit())
    client = rig.client()
    client.ask(a_submit(), {"op": "cancel", "jobs": [1, 9]}, a_submit("big", gpus=9))
    lines = [line for line in capfd.readouterr().err.splitlines() if "INFO request" in line]
    told = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
    assert [(one["action"], one["uid"], one["result"]) for one in told] == [
        ("submit", "0", "AccountRefused"),
        ("submit", str(ALICE), "ok"),
        ("cancel", str(ALICE), "cancelling,unknown"),
        ("submit", str(ALICE), "Refused"),
    ]
