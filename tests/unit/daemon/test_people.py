"""Who may submit, who may raise priorities, and what a submission gets that does not say it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mgpu.core import people
from mgpu.core.policy import Defaults, Policy
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, Rig, a_submit

LAB = frozenset({"group:lab", "user:ada"})


@pytest.mark.parametrize(
    ("policy", "user", "groups", "why"),
    [
        (Policy(), "bob", (), ""),
        (Policy(submitters=LAB), "ada", (), ""),
        (Policy(submitters=LAB), "bob", ("x", "lab"), ""),
        (Policy(submitters=LAB), "bob", ("ada",), "bob is not among those who may run jobs here"),
        (Policy(denied=LAB), "ada", (), "ada may not run jobs here (access.deny)"),
        (Policy(denied=LAB), "bob", (), ""),
        (Policy(submitters=LAB, denied=frozenset({"user:ada"})), "ada", ("lab",), "ada may not"),
    ],
)
def test_who_may_run_jobs(policy: Policy, user: str, groups: tuple[str, ...], why: str) -> None:
    found = people.problem(policy, user, groups)
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_the_first_table_with_a_group_of_ones_holds() -> None:
    first, second = Defaults("lab", time_limit=60), Defaults("staff", priority=5)
    policy = Policy(defaults=(first, second))
    assert people.defaults_of(policy, ("staff", "lab")) is first
    assert people.defaults_of(policy, ("staff",)) is second
    assert people.defaults_of(policy, ()) is people.NONE


# -- through the daemon ---------------------------------------------------------------------------


@pytest.fixture
def lab(make_rig: Callable[..., Rig]) -> Callable[..., Rig]:
    """A rig in which alice is in the group lab."""

    def make(**changes: object) -> Rig:
        rig = make_rig(**changes)
        rig.launcher.groups[ALICE] = ["lab"]
        return rig

    return make


def refusal(rig: Rig, request: Map, uid: int = ALICE) -> str:
    return str(rig.client(uid).one(request)["error"]["message"])


def test_who_is_denied_submits_nothing(lab: Callable[..., Rig]) -> None:
    rig = lab(access__deny=["@lab"])
    assert refusal(rig, a_submit()) == "u1001 may not run jobs here (access.deny)"
    assert "ok" in rig.client(1002).one(a_submit())


def test_jobs_of_somebody_who_is_denied_later_wait_with_the_reason(lab: Callable[..., Rig]) -> None:
    rig = lab()
    running, waiting = rig.submit(gpus=2), rig.submit(gpus=2)
    rig.supervisor(running).runs()
    fresh = rig.settings | {"access.deny": ["u1001"]}
    rig.scheduler._adopt(fresh)
    rig.supervisor(running).ends()
    assert rig.job(waiting).attempt == 0
    row = rig.client().ask({"op": "jobs"})[0]["part"]["rows"][0]
    assert row[4:6] == ["InvalidAccount", "u1001 may not run jobs here (access.deny)"]
    rig.scheduler._adopt(rig.settings)
    rig.settle()
    assert rig.job(waiting).attempt == 1


def test_a_high_priority_is_for_those_who_may_raise_it(lab: Callable[..., Rig]) -> None:
    rig = lab(access__raise_priority=["@lab", "u1002"])
    assert "ok" in rig.client().one(a_submit(priority=9))
    assert "ok" in rig.client(1002).one(a_submit(priority=9))
    assert "is more than the 0 that users may give" in refusal(rig, a_submit(priority=9), 1003)
    change = {"op": "priority", "jobs": [1], "priority": 99}
    assert "ok" in rig.client().one(change)
    assert refusal(rig, change, 1003).startswith("99 is more than")


def test_defaults_of_a_group(lab: Callable[..., Rig]) -> None:
    table = {"group": "lab", "time_limit": 60, "priority": -3, "project": "vision"}
    rig = lab(access__defaults=[table])
    said = rig.job(rig.submit(time_limit=90, priority=-1, project="x"))
    assert (said.spec.time_limit, said.priority, said.spec.project) == (90, -1, "x")
    silent = rig.job(rig.submit())
    assert (silent.spec.time_limit, silent.priority, silent.spec.project) == (60, -3, "vision")
    other = rig.job(rig.submit(1002))
    assert (other.spec.time_limit, other.priority, other.spec.project) == (None, 0, "")
    endless = rig.job(rig.submit(time_limit=0))
    assert endless.spec.time_limit is None, "no limit is something to say"


def test_who_sees_all_and_who_reserves(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mgpu.daemon import grants

    numbers = {"carol": 1003, "dave": 1004}
    monkeypatch.setattr(grants, "_uids", lambda names: [numbers[name] for name in names])
    rig = make_rig(access__see_all=["carol"], access__reserve=["dave"])
    rig.submit(name="secret")
    carol, dave, eve = (rig.client(uid) for uid in (1003, 1004, 1005))
    seen = [str(client.ask({"op": "jobs"})) for client in (carol, dave, eve)]
    assert ["secret" in text for text in seen] == [True, False, False]
    cancel = {"op": "cancel", "jobs": [1]}
    assert carol.one(cancel)["ok"]["jobs"] == [[1, "unknown"]], "seeing is not touching"
    order: Map = {"op": "reserve", "key": "k", "count": 1, "duration": 60}
    assert carol.one(order)["error"]["code"] == "Denied"
    assert dave.one(order | {"preempt": True})["error"]["path"] == "preempt"
    assert dave.one(order)["ok"] == {"key": "1"}
    rig.client(0, admin=True).one(order | {"key": "l"})
    assert dave.one({"op": "unreserve", "id": 2})["error"]["code"] == "Unknown"
    assert dave.one({"op": "unreserve", "id": 1})["ok"] == {"key": "1"}
