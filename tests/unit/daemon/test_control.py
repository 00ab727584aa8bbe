"""The daemon's own settings through real frames: what holds, and taking over another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from mgpu.config.settings import SETTINGS
from mgpu.system.log import log
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import Client, Rig


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()


@pytest.fixture
def admin(rig: Rig) -> Client:
    return rig.client(0, admin=True)


def rows(client: Client) -> dict[str, Map]:
    return {row["key"]: row for row in client.one({"op": "config"})["ok"]["settings"]}


def test_every_setting_is_shown(admin: Client) -> None:
    found = rows(admin)
    assert list(found) == [setting.key for setting in SETTINGS]
    assert found["scheduling.kill_grace"] == {
        "key": "scheduling.kill_grace",
        "value": "30",
        "from": "default",
        "restart": False,
        "waiting": None,
    }


def test_a_good_configuration_is_taken_over_as_a_whole(rig: Rig, admin: Client) -> None:
    admin.send({"op": "reload"})
    rig.settle()
    assert rig.launcher.said[-1] == {"op": "reload"}
    fresh = rig.settings | {
        "scheduling.max_job_time": 60,
        "limits.pending_per_user": 1,
        "queue.default": "me",
        "config.origins": {"scheduling.max_job_time": "file /c:3"},
        "config.waiting": {"paths.state_dir": "/srv/x"},
    }
    message = {"op": "reloaded", "changed": ["a.b"], "waiting": ["paths.state_dir"]}
    rig.launcher.says(message, msgpack.packb(fresh))
    (told,) = admin.take()
    assert told == {"ok": {"problems": [], "changed": ["a.b"], "waiting": ["paths.state_dir"]}}
    engine = rig.scheduler._engine
    assert engine.world.policy.max_job_time == 60
    assert rig.scheduler._dispatcher.rules.default_scope == "me"
    shown = rows(admin)
    assert shown["scheduling.max_job_time"]["from"] == "file /c:3"
    assert shown["paths.state_dir"]["waiting"] == '"/srv/x"'


def told_status(client: Client) -> Map:
    body: Map = client.one({"op": "status"})["ok"]
    return body


def test_of_a_bad_one_nothing_is(rig: Rig, admin: Client) -> None:
    before: Any = rig.scheduler._engine.world.policy
    admin.send({"op": "reload"})
    rig.settle()
    rig.launcher.says({"op": "reloaded", "problems": ["c.toml:3: wrong"]})
    (told,) = admin.take()
    assert told["ok"]["problems"] == ["c.toml:3: wrong"]
    assert rig.scheduler._engine.world.policy is before
    error = told_status(admin)["last_error"]
    assert error["text"] == "The configuration is not applied: c.toml:3: wrong"


def test_who_asks_while_it_is_being_read_is_told_of_the_next_reading(rig: Rig) -> None:
    first, second = rig.client(0, admin=True), rig.client(0, admin=True)
    for client in (first, second):
        client.send({"op": "reload"})
        rig.settle()
    rig.launcher.says({"op": "reloaded", "problems": ["old"]})
    assert [told["ok"]["problems"] for told in first.take()] == [["old"]]
    assert second.take() == []
    rig.launcher.says({"op": "reloaded", "problems": ["new"]})
    assert [told["ok"]["problems"] for told in second.take()] == [["new"]]


@pytest.mark.parametrize("op", ["config", "reload"])
def test_only_administrators_may(rig: Rig, op: str) -> None:
    assert rig.client().one({"op": op})["error"]["code"] == "Denied"


# -- draining and stopping ------------------------------------------------------------------------


def told(client: Client, request: Map) -> Map:
    body: Map = client.one(request)["ok"]
    return body


def mode(client: Client) -> str:
    return str(told(client, {"op": "status"})["mode"])


def stopped(rig: Rig) -> bool:
    return {"op": "stop"} in rig.launcher.said


def test_a_drained_machine_starts_nothing_and_says_why(rig: Rig, admin: Client) -> None:
    running = rig.submit(gpus=1)
    rig.supervisor(running).runs()
    told(admin, {"op": "machine_drain", "reason": "new fans"})
    waiting, plain = rig.submit(gpus=1), rig.submit(gpus=0)
    assert set(rig.launcher.started) == {(running, 1)}
    rows = rig.client().ask({"op": "jobs"})[0]["part"]["rows"]
    assert [row[4:6] for row in rows if row[0] in (waiting, plain)] == [
        ["PartitionDown", "the machine is drained: new fans"]
    ] * 2
    assert mode(admin) == "drained"
    assert admin.one({"op": "machine_drain", "reason": "x"})["error"]["code"] == "Refused"
    rig.again()
    assert mode(rig.client(0, admin=True)) == "drained", "it is kept over a restart"
    rig.client(0, admin=True).one({"op": "machine_resume"})
    rig.settle()
    assert {job for job, _ in rig.launcher.started} == {waiting, plain}


def test_shutdown_at_once(rig: Rig, admin: Client) -> None:
    told(admin, {"op": "shutdown", "how": "now"})
    assert stopped(rig)


def test_shutdown_once_no_job_runs(rig: Rig, admin: Client) -> None:
    running = rig.submit(gpus=1)
    rig.supervisor(running).runs()
    told(admin, {"op": "shutdown", "how": "drain", "reason": "move"})
    waiting = rig.submit(gpus=1)
    assert mode(admin) == "stopping"
    rig.again()
    assert not stopped(rig)
    rig.launcher.about("gone", (running, 1))
    rig.launcher.about("killed", (running, 1))
    rig.settle()
    assert stopped(rig)
    assert rig.job(waiting).attempt == 0, "nothing is started in between"
    rig.again()
    assert rig.job(waiting).attempt == 1, "the next start begins as usual"


def test_shutdown_after_ending_what_runs(rig: Rig, admin: Client) -> None:
    running, waiting = rig.submit(gpus=2), rig.submit(gpus=2)
    rig.supervisor(running).runs()
    told(admin, {"op": "shutdown", "how": "cancel"})
    assert rig.job(running).state == "COMPLETING"
    assert not stopped(rig)
    rig.supervisor(running).ends(None, signal=15, cause="cancel")
    assert rig.job(running).state == "CANCELLED"
    assert stopped(rig)
    assert rig.job(waiting).state == "PENDING"


def test_a_stop_that_is_ordered_can_be_taken_back(rig: Rig, admin: Client) -> None:
    rig.submit(gpus=1)
    told(admin, {"op": "shutdown", "how": "drain"})
    told(admin, {"op": "machine_resume"})
    assert mode(admin) == "normal"
    assert admin.one({"op": "machine_resume"})["error"]["code"] == "Refused"


def test_status_tells_administrators_more(rig: Rig, admin: Client) -> None:
    rig.submit(gpus=1)
    rig.submit(gpus=2, hold=True)
    rig.wait(90)
    seen = told(rig.client(), {"op": "status"})
    assert (seen["uptime"], seen["mode"], seen["detail"]) == (90.0, "normal", "")
    assert seen["gpus"] == {"all": 2, "available": 2, "held": 1}
    assert seen["queue"] == {"running": 1, "waiting": 1, "held": 1}
    assert "last_error" not in seen
    assert told(rig.client(0, admin=True), {"op": "status"})["log_level"] == log.level


def test_the_log_level_is_changed_here_and_in_the_launcher(
    rig: Rig, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "level", "error")
    told(admin, {"op": "log_level", "level": "warning"})
    assert log.level == "warning"
    assert rig.launcher.said[-1] == {"op": "log_level", "level": "warning"}
    assert admin.one({"op": "log_level", "level": "loud"})["error"]["code"] == "BadRequest"


# -- jobs that are to wait again ------------------------------------------------------------------


def test_a_requeued_job_goes_to_the_end_with_its_number(rig: Rig, admin: Client) -> None:
    first, second = rig.submit(gpus=2), rig.submit(gpus=2)
    rig.supervisor(first).runs()
    assert told(admin, {"op": "requeue", "jobs": [first, second, 77]})["jobs"] == [
        [first, "requeued"],
        [second, "waits"],
        [77, "unknown"],
    ]
    rig.supervisor(first).ends(None, signal=15)
    assert (rig.job(first).state, rig.job(first).restarts) == ("PENDING", 1)
    assert rig.job(first).note == "switched out: requeued by an administrator"
    assert rig.job(second).attempt == 1


@pytest.mark.parametrize(("fields", "word"), [({"requeue": False}, "never"), ({}, "busy")])
def test_a_job_that_cannot_be_requeued(rig: Rig, fields: Map, word: str) -> None:
    job = rig.submit(gpus=1, **fields)
    if word == "never":
        rig.supervisor(job).runs()
    assert told(rig.client(), {"op": "requeue", "jobs": [job]})["jobs"] == [[job, word]]


def test_clients_are_told_the_configured_clocks(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(scheduling__time_zone="Asia/Tokyo")
    client = rig.client(greet=False)
    assert client.one({"mgpu": [1, 1]})["zone"] == "Asia/Tokyo"
    rig.scheduler._adopt(rig.settings | {"scheduling.time_zone": ""})
    assert "zone" not in rig.client(greet=False).one({"mgpu": [1, 1]})
