"""Settings of the order and of notices, and what the part that goes by them makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mgpu.daemon import outbox
from mgpu.daemon.rules import policy
from tests.unit.daemon.rig import BOB, Rig, a_submit
from tests.unit.daemon.test_outbox import Notifier, an_ended_job, nothing_left_open  # noqa: F401

MakeRig = Callable[..., Rig]
URL = "https://h.org/x"


def test_the_weights_of_the_order(make_rig: MakeRig) -> None:
    rig = make_rig(
        priority__expansion=1,
        priority__age=2,
        priority__brevity=3,
        priority__size=4,
        priority__fairshare=5,
        priority__limit_floor=6,
    )
    found = policy(rig.settings)
    weights = (found.weight_expansion, found.weight_age, found.weight_brevity, found.weight_size)
    assert (*weights, found.weight_fairshare, found.limit_floor) == (1, 2, 3, 4, 5, 6)


def refusal(rig: Rig, **wish: Any) -> str:
    answer = rig.client().one(a_submit(**wish))
    return str(answer["error"]["message"]) if "error" in answer else ""


def test_jobs_may_name_urls_where_that_is_allowed(make_rig: MakeRig) -> None:
    rig = make_rig(notices__enabled=True, notices__user_webhooks=False)
    assert refusal(rig, notify=[URL]) == "jobs may name no URLs here"


@pytest.mark.parametrize(("domain", "to"), [("lab.example.org", "u1001@lab.example.org"), ("", "")])
def test_where_users_have_mail(make_rig: MakeRig, domain: str, to: str) -> None:
    rig = make_rig(notices__enabled=True, notices__smtp_host="h", notices__mail_domain=domain)
    assert ("is no address" in refusal(rig, mail_type=["END"])) == (not to)
    jobs = [job.spec.notify for job in rig.active().values()]
    assert [notify and notify.targets for notify in jobs] == ([(f"mailto:{to}",)] if to else [])


def test_so_many_deliveries_are_under_way_at_once(make_rig: MakeRig) -> None:
    rig = make_rig(notices__enabled=True, notices__max_concurrent_deliveries=1)
    notifier = Notifier(rig)
    an_ended_job(rig)
    an_ended_job(rig, BOB)
    (first,) = notifier.hears()
    notifier.tells(first)
    (second,) = notifier.hears()
    assert {first["lane"], second["lane"]} == {"user:1001", "user:1002"}
    assert outbox.rules(rig.settings).concurrency == 1
