"""The daemon's own settings through real frames: what holds, and taking over another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from mgpu.config.settings import SETTINGS
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


def test_of_a_bad_one_nothing_is(rig: Rig, admin: Client) -> None:
    before: Any = rig.scheduler._engine.world.policy
    admin.send({"op": "reload"})
    rig.settle()
    rig.launcher.says({"op": "reloaded", "problems": ["c.toml:3: wrong"]})
    (told,) = admin.take()
    assert told["ok"]["problems"] == ["c.toml:3: wrong"]
    assert rig.scheduler._engine.world.policy is before


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
