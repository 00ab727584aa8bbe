"""What is kept of jobs that have ended, and for how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mgpu.daemon import leftovers
from mgpu.daemon.leftovers import Leftovers
from mgpu.store.base import Leftover, StoreCorrupt
from tests.unit.daemon.rig import Rig

Make = Callable[..., Rig]
DAY = 86400


def test_each_goes_when_its_time_is_over() -> None:
    kept = Leftovers([Leftover(1, 7, 10, 100.0)], 50, 0)
    assert kept.add(Leftover(2, 8, 10, 120.0)) == []
    assert kept.due() == 150.0
    assert kept.overdue(149.0) == []
    assert kept.overdue(150.0) == [1]
    assert (kept.overdue(1000.0), kept.due()) == ([2], None)


def test_the_oldest_of_a_user_go_for_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "MOST", 3)
    many = Leftovers([Leftover(n, 7, 10, float(n)) for n in range(3)], 50, 0)
    assert many.add(Leftover(9, 8, 10, 9.0)) == []
    assert many.add(Leftover(3, 7, 10, 9.0)) == [0]
    large = Leftovers([Leftover(n, 7, 10, float(n)) for n in range(3)], 50, 35)
    assert large.add(Leftover(3, 7, 20, 9.0)) == [0, 1]
    assert large.add(Leftover(4, 7, 99, 9.0)) == [2, 3, 4]


def test_a_payload_is_there_for_the_configured_time(make_rig: Make) -> None:
    rig = make_rig(jobs__keep_for_redo=DAY)
    job = rig.submit()
    rig.supervisor(job).runs()
    rig.supervisor(job).ends(0)
    rig.wait(DAY / 2)
    assert rig.store.payload(job)
    rig.again()
    rig.wait(DAY / 2 - 1)
    assert rig.store.payload(job)
    rig.wait(61)
    with pytest.raises(StoreCorrupt):
        rig.store.payload(job)
    assert rig.store.leftovers() == []


def test_what_is_left_does_not_keep_a_user_from_submitting(make_rig: Make) -> None:
    rig = make_rig(jobs__keep_for_redo=DAY, limits__kept_per_user=1)
    for _ in range(13):
        job = rig.submit(script=b"#!/bin/sh\n" + b"#" * 100_000)
        rig.supervisor(job).runs()
        rig.supervisor(job).ends(0)
    left = [one.spec for one in rig.store.leftovers()]
    assert left == [*range(job - 9, job + 1)]
