"""A submission that is only tried: what would become of it, and that nothing is kept."""

from __future__ import annotations

from typing import Any

from tests.unit.daemon.rig import Rig, a_submit


def tried(rig: Rig, **spec: Any) -> dict[str, Any]:
    """What is told of a submission that is tried."""
    reply: dict[str, Any] = rig.client().one(a_submit(**spec) | {"dry": True})
    told: dict[str, Any] = reply.get("ok") or reply["error"]
    return told


def test_what_fits_would_start_now(rig: Rig) -> None:
    told = tried(rig, gpus=2)
    assert (told["at"], told["gpus"], told["reason"]) == (told["now"], [0, 1], "")


def test_nothing_is_kept(rig: Rig) -> None:
    first = rig.submit(gpus=0)
    assert tried(rig, array="0-9")["reason"] == ""
    rig.settle()
    assert list(rig.active()) == [first]
    assert rig.submit() == first + 1


def test_behind_others_with_the_reason(rig: Rig) -> None:
    running = rig.submit(gpus=2, time_limit=100)
    told = tried(rig, time_limit=10)
    assert (round(told["at"] - told["now"]), told["gpus"]) == (100, [0])
    assert (told["after"], told["reason"]) == (str(running), "Resources")
    assert "gpu0 held by job 1" in told["detail"]


def test_a_start_that_is_not_known_has_a_reason(rig: Rig) -> None:
    rig.submit(gpus=2)
    told = tried(rig)
    assert ("at" in told, told["reason"]) == (False, "Resources")
    assert tried(rig, hold=True)["reason"] == "JobHeldUser"


def test_an_array_starts_with_its_first_task(rig: Rig) -> None:
    assert tried(rig, array="0-9")["reason"] == ""


def test_refusals_are_as_usual(rig: Rig) -> None:
    assert tried(rig, gpus=99)["code"] == rig.client().one(a_submit(gpus=99))["error"]["code"]
    assert tried(rig, cron="0 2 * * *", overlap="skip", missed="drop")["code"] == "BadRequest"
    several = a_submit() | {"dry": True, "count": 2}
    assert rig.client().one(several)["error"]["path"] == "count"
