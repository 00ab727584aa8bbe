"""What a run has used up of its time limit is told once, whatever is killed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mgpu.model.records import Notice
from tests.unit.daemon.outside import received
from tests.unit.daemon.rig import Rig
from tests.unit.daemon.test_outbox import Notifier, nothing_left_open  # noqa: F401

MakeRig = Callable[..., Rig]
URL = "https://h.org/x"
HALF, LATE, LAST = "job_time_limit_50", "job_time_limit_80", "job_time_limit_90"


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig(notices__enabled=True, notices__window=300, limits__request_burst=100_000)


def events(sent: list[dict[str, Any]]) -> list[str]:
    return [one["event"] for one in sent]


def run(rig: Rig, words: list[str], **fields: Any) -> int:
    """A job that runs from now on."""
    job = rig.submit(notify=[URL], mail_type=words, time_limit=1000, **fields)
    rig.supervisor(job).runs()
    return job


def deliver(notifier: Notifier) -> list[str]:
    """Take what comes, and say so."""
    told = []
    while sent := notifier.hears():
        for one in sent:
            notifier.tells(one)
        told += events(sent)
    return told


def test_each_is_told_when_it_is_passed(rig: Rig) -> None:
    notifier = Notifier(rig)
    job = run(rig, ["TIME_LIMIT_50", "TIME_LIMIT_80", "TIME_LIMIT_90"])
    rig.wait(499)
    assert notifier.hears() == []
    rig.wait(1)
    (sent,) = notifier.hears()
    body = json.loads(sent["body"])
    assert (body["event"], body["job"]["id"], body["job"]["state"]) == (HALF, str(job), "RUNNING")
    assert (body["job"]["elapsed"], body["job"]["time_limit"]) == (500, 1000)
    notifier.tells(sent)
    rig.wait(300)
    assert deliver(notifier) == [LATE]
    rig.wait(100)
    assert deliver(notifier) == [LAST]
    rig.wait(1000)
    assert deliver(notifier) == []


def test_what_nobody_asked_for_wakes_nobody(rig: Rig) -> None:
    notifier = Notifier(rig)
    run(rig, ["END"])
    run(rig, ["TIME_LIMIT_80"], gpus=0)
    outbox = rig.scheduler._outbox
    assert outbox is not None
    assert outbox.deadline() == rig.clock.now().boot + 800
    rig.wait(600)
    assert notifier.hears() == []


def test_no_crash_makes_it_told_twice_or_not_at_all(rig: Rig) -> None:
    notifier = Notifier(rig)
    run(rig, ["TIME_LIMIT_50", "TIME_LIMIT_90"])
    rig.wait(500)
    (sent,) = notifier.hears()
    rig.again()  # before its delivery is heard of
    notifier.connect()
    notifier.tells(sent)
    for _ in range(3):
        rig.again()
        notifier.connect()
        rig.wait(120)
        assert deliver(notifier) == []
    rig.kill()
    rig.clock.forward(60)
    rig.start()
    notifier.connect()
    assert deliver(notifier) == [LAST]


def test_each_run_tells_of_itself_and_leaves_nothing_behind(rig: Rig) -> None:
    notifier = Notifier(rig)
    job = run(rig, ["TIME_LIMIT_50"])
    rig.wait(500)
    assert deliver(notifier) == [HALF]
    rig.client(0, admin=True).one({"op": "requeue", "jobs": [job]})
    rig.supervisor(job).ends(signal=15)
    rig.supervisor(job, 2).runs()
    rig.wait(499)
    assert deliver(notifier) == []
    rig.wait(1)
    assert deliver(notifier) == [HALF]
    rig.supervisor(job, 2).ends(0)
    rig.wait(700)
    assert deliver(notifier) == []
    assert [one for one in rig.store.load().records if isinstance(one, Notice)] == []


def test_of_an_array_each_task_tells_as_with_slurm(rig: Rig) -> None:
    notifier = Notifier(rig)
    whole = rig.submit(
        notify=[URL], mail_type=["TIME_LIMIT_50"], time_limit=1000, array="0-1", gpus=0
    )
    each = rig.submit(
        notify=[URL], mail_type=["TIME_LIMIT_50", "ARRAY_TASKS"], time_limit=1000, array="3",
        gpus=0,
    )  # fmt: skip
    assert whole < each
    for job in list(rig.active()):
        if rig.job(job).attempt:
            rig.supervisor(job).runs()
    rig.wait(500)
    sent = notifier.hears()
    for one in sent:
        notifier.tells(one)
    sent += notifier.hears()
    told = {json.loads(one["body"])["job"]["id"] for one in sent}
    assert told == {f"{whole}_0", f"{whole}_1", f"{each}_3"}


@pytest.mark.parametrize(("wanted", "told"), [(["*"], False), ([HALF, "*"], True)])
def test_administrators_are_told_of_all_jobs_where_they_name_it(
    make_rig: MakeRig, wanted: list[str], told: bool
) -> None:
    hook = {"name": "a", "url": URL, "events": wanted, "filter_users": [], "array_tasks": False}
    rig = make_rig(notices__enabled=True, notices__webhooks=[hook], limits__request_burst=100_000)
    notifier = Notifier(rig)
    job = rig.submit(time_limit=1000)
    rig.supervisor(job).runs()
    deliver(notifier)
    rig.wait(500)
    assert (deliver(notifier) == [HALF]) == told
    assert received(notifier.sock) is not None
