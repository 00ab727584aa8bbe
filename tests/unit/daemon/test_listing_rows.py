"""A listing takes a short way for jobs that wait alike; it must not show."""

from __future__ import annotations

from mgpu.core.requests import Cancel, SetPriority, Submit
from mgpu.daemon import views
from mgpu.model.job import JobSpec
from mgpu.testing.builders import Desk

OWNER = views.Viewer(1000, may_any=False, open_queue=False)
STRANGER = views.Viewer(1, may_any=False, open_queue=False)


def a_mixed_queue() -> Desk:
    desk = Desk(16384, 16384)
    for spec_id, uid in enumerate((1000, 1000, 1001), 1):
        spec = JobSpec(spec_id, f"job{spec_id}", f"work {spec_id}", f"/home/{uid}", gpus=2)
        desk.ask(Submit(uid, f"user{uid}", spec, 0, 4))
    desk.ask(SetPriority((3,), 7, 1000))
    desk.ask(Cancel((4,), 1000))
    desk.run()
    return desk


def test_a_listing_is_the_row_of_each_job() -> None:
    desk = a_mixed_queue()
    jobs = list(desk.world.jobs.values())
    for viewer in (OWNER, STRANGER):
        parts = [
            m["part"]["rows"]
            for m in views.listing(desk.world, jobs, viewer, desk.now)
            if "part" in m
        ]
        expected = [views.row(desk.world, job, viewer, desk.now) for job in jobs]
        assert [row for rows in parts for row in rows] == expected
        assert len(expected) == 11
