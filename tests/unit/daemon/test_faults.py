"""A defect that a request meets is the answer to it, and nobody else's concern."""

from __future__ import annotations

from typing import Any

import pytest

from mgpu.daemon import engine, handle_admin, selection, submission, views
from mgpu.protocol import messages
from mgpu.store.base import StoreError
from mgpu.system.log import log
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, Rig, a_submit

PING = {"op": "ping"}
QUOTAS = {"op": "quota_list"}
PLACES: list[tuple[Any, str, Map]] = [
    (messages, "parse_request", PING),
    (selection, "choose", {"op": "jobs"}),
    (views, "row", {"op": "jobs"}),
    (submission, "wish", a_submit()),
    (engine, "decide", {"op": "cancel", "jobs": [1]}),
    (handle_admin, "_all_bounds", QUOTAS),
]


def defective(*_args: object, **_kwargs: object) -> Any:
    raise ZeroDivisionError("a name that is private")


@pytest.mark.parametrize("known", [True, False], ids=["account known", "account asked for"])
@pytest.mark.parametrize(("module", "name", "asked"), PLACES, ids=lambda part: str(part)[:12])
def test_a_defect_is_an_answer(
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    module: Any,
    name: str,
    asked: Map,
    known: bool,
) -> None:
    client = rig.client(0, admin=True) if asked is QUOTAS else rig.client()
    rig.submit(ALICE if known else ALICE + 1)
    assert not known or client.one(QUOTAS)
    log.set_level("error")
    with monkeypatch.context() as patch:
        patch.setattr(module, name, defective)
        answer = client.one(asked)
    assert answer["error"]["code"] == "Internal"
    assert "ZeroDivisionError" in answer["error"]["message"]
    logged = capfd.readouterr().err
    assert "action=defect" in logged
    assert "private" not in logged + str(answer)
    assert "ok" in client.one(PING)


def test_what_is_wrong_with_the_store_is_no_defect_of_a_request(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> Any:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(rig.store, "find", broken)
    with pytest.raises(StoreError):
        rig.client().one({"op": "jobs", "ended": True})
