"""Connections of many uids at once: all of them may be one user's (subuid(5))."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgpu.daemon import limits
from mgpu.system.subuids import Payers
from tests.unit.daemon.rig import BOB, Client, Rig


def closed(*clients: Client) -> list[bool]:
    for client in clients:
        client.take()
    return [client.closed for client in clients]


def test_the_oldest_that_waits_for_nothing_makes_room(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = rig.submit(BOB)
    monkeypatch.setattr(limits, "CONNECTIONS", 4)
    kept = [rig.client(0), rig.client(0, admin=True), rig.client(BOB)]
    kept[2].send({"op": "wait", "jobs": [job]})
    rig.settle()
    crowd = [rig.client(100_000 + number) for number in range(3)]
    assert closed(*kept, *crowd) == [False] * 3 + [True, True, False]


def test_where_all_are_being_answered_the_oldest_makes_room(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So who comes now is answered, whatever others wait for."""
    jobs = [rig.submit(2000 + number) for number in range(3)]
    monkeypatch.setattr(limits, "CONNECTIONS", 3)
    crowd = [rig.client(2000 + number) for number in range(3)]
    for client, job in zip(crowd, jobs, strict=True):
        client.send({"op": "wait", "jobs": [job]})
        rig.settle()
    assert list(rig.client(BOB).one({"op": "ping"})) == ["ok"]
    assert closed(*crowd) == [True, False, False]


def test_uids_of_one_user_share_what_one_user_may_have(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("mallory:100000:65536\n")
    rig.scheduler._server._payers = Payers(file)
    most = rig.scheduler._control.settings["limits.connections_per_user"]
    crowd = [rig.client(100_000 + number) for number in range(most)]
    assert closed(*crowd) == [False] * most
    late = rig.client(165_535, greet=False)
    assert late.take()[0]["error"]["code"] == "LimitReached"
    assert rig.submit(BOB)


def test_an_account_pays_for_itself_though_its_uid_is_lent(rig: Rig, tmp_path: Path) -> None:
    """Directories of a network give out uids that useradd lends to users of the machine."""
    file = tmp_path / "subuid"
    file.write_text("mallory:100000:65536\n")
    rig.scheduler._server._payers = Payers(file)
    rig.submit(130_000)
    most = rig.scheduler._control.settings["limits.connections_per_user"]
    crowd = [rig.client(100_000 + number) for number in range(most)]
    assert closed(*crowd) == [False] * most
    assert rig.submit(130_000)
