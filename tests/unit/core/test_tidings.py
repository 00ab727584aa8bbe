"""Which events are told, of which job, and in which words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mgpu.core import tidings
from mgpu.core.lifecycle import evolve
from mgpu.core.orders import DrainGpus, Reserve, ResumeGpus, Unreserve
from mgpu.core.policy import Policy
from mgpu.core.requests import Cancel, Hold, Release, SetPriority, Submit, Update
from mgpu.core.tidings import Tiding
from mgpu.model.events import Event, Refused, Requeued, Retried
from mgpu.model.gpu import Inventory, Process
from mgpu.model.notice import EVENTS
from mgpu.model.tasks import parse_tasks
from mgpu.testing.builders import UID, Desk, a_gpu, a_spec


class Listener(Desk):
    """A desk that hears what is told."""

    def __init__(self, *totals: int, **policy: Any) -> None:
        super().__init__(*totals, policy=Policy(**policy))
        self.told: list[Tiding] = []
        self.asked = False

    def ask(self, request: Any) -> Any:
        self.asked = True
        try:
            return super().ask(request)
        finally:
            self.asked = False

    def apply(self, *events: Event) -> None:
        for event in events:
            self.told += tidings.before(self.world, event, asked=self.asked)
            evolve(self.world, event)
            self.told += tidings.after(self.world, event, asked=self.asked)

    def hears(self) -> list[tuple[str, str]]:
        """Event and name of the job of what was told since the last time."""
        told, self.told = self.told, []
        return [(one.event, one.name) for one in told]

    def array(self, text: str) -> None:
        """Submit an array."""
        tasks = parse_tasks(text)[0]
        self.ask(Submit(UID, "u", a_spec(), 0, 1, tasks=tasks))


@pytest.fixture
def desk() -> Listener:
    return Listener(24576, 24576)


def test_the_life_of_a_job(desk: Listener) -> None:
    desk.submit()
    desk.run()
    desk.launched(1)
    assert desk.hears() == [("job_submitted", "1"), ("job_started", "1")]
    desk.wait(60)
    desk.end(1)
    (told,) = desk.told
    assert told.event == "job_completed"
    facts = told.facts["job"]
    assert (facts["user"], facts["state"], facts["exit_code"]) == ("u1000", "COMPLETED", 0)
    assert facts["elapsed"] == 60


@pytest.mark.parametrize(
    ("how", "event"),
    [
        ({"code": 1}, "job_failed"),
        ({"code": None, "signal": 9}, "job_failed"),
    ],
)
def test_other_ends(how: dict[str, Any], event: str, desk: Listener) -> None:
    desk.submit()
    desk.run()
    desk.launched(1)
    desk.hears()
    desk.end(1, **how)
    assert desk.hears() == [(event, "1")]


def test_the_time_limit(desk: Listener) -> None:
    desk.submit(a_spec(limit=60, requeue=False))
    desk.submit(a_spec(limit=60))
    desk.run()
    desk.launched(1, 2)
    desk.hears()
    for job in (1, 2):
        desk.end(job, code=None, signal=15, cause="timelimit")
    assert desk.hears() == [("job_timeout", "1"), ("job_requeued", "2")]


def test_a_cancelled_job_is_told_of_when_it_has_ended(desk: Listener) -> None:
    desk.submit(count=2)
    desk.submit(a_spec(gpus=2))
    desk.run()
    desk.launched(1, 2)
    desk.hears()
    desk.cancel(1, 3)
    assert desk.hears() == [("job_cancelled", "3")]
    desk.end(1, code=None, signal=15, cause="cancelled")
    assert desk.hears() == [("job_cancelled", "1")]


def test_a_job_that_can_never_start_or_is_tried_again(desk: Listener) -> None:
    desk.submit(count=2)
    desk.run()
    desk.launched(1)
    desk.submit(a_spec(gpus=2))
    desk.hears()
    desk.apply(Refused(desk.now, 3, "DependencyNeverSatisfied", "job 1 (FAILED)"))
    assert desk.told[0].facts["job"]["detail"] == "DependencyNeverSatisfied: job 1 (FAILED)"
    desk.apply(Retried(desk.now, 1, 1, 1, None, 0.0), Requeued(desk.now, 2, 1, "NODE_FAIL"))
    assert desk.hears() == [("job_cancelled", "3"), ("job_requeued", "1"), ("job_requeued", "2")]


def test_hold_release_and_change(desk: Listener) -> None:
    desk.submit()
    desk.hears()
    desk.ask(Hold((1,), UID))
    desk.ask(Release((1,), UID))
    desk.ask(SetPriority((1,), 5, UID))
    assert desk.hears() == [("job_held", "1"), ("job_released", "1"), ("job_updated", "1")]


def test_what_is_submitted_held_back_is_told_of_as_held(desk: Listener) -> None:
    desk.ask(Submit(UID, "u", a_spec(), 0, 1, held="user"))
    desk.ask(Submit(UID, "u", a_spec(), 0, 1, tasks=parse_tasks("0-2")[0], held="user"))
    told = [(one.event, one.name, one.whole) for one in desk.told]
    held = [one for one in told if one[0] == "job_held"]
    assert held == [("job_held", "1", True), ("job_held", told[-1][1], True)]
    assert [event for event, _, _ in told] == ["job_submitted", "job_held"] * 2


def test_an_array_is_told_of_as_a_whole_and_by_task(desk: Listener) -> None:
    desk.array("0-2")
    assert desk.hears() == [("job_submitted", "1")]
    desk.run()
    desk.launched(2, 3)
    told, desk.told = desk.told, []
    assert [(one.event, one.name, one.whole) for one in told] == [
        ("job_started", "1_0", False),
        ("job_started", "1", True),
        ("job_started", "1_1", False),
    ]
    assert [one.name for one in told if one.concerns(tasks=False)] == ["1"]
    assert [one.name for one in told if one.concerns(tasks=True)] == ["1_0", "1_1"]
    desk.end(2, code=1)
    desk.end(3)
    desk.hears()
    desk.run()
    desk.launched(1)
    assert desk.hears() == [("job_started", "1_2")]
    desk.end(1)
    last = desk.told[-1]
    assert (last.event, last.name, last.whole) == ("job_failed", "1", True)
    assert last.facts["job"]["tasks"] == {"total": 3, "completed": 2, "failed": 1}


def test_an_array_that_is_cancelled_is_told_of_once(desk: Listener) -> None:
    desk.array("0-99")
    desk.hears()
    desk.ask(Cancel((1,), UID))
    assert [one.name for one in desk.told if one.concerns(tasks=False)] == ["1"]
    assert desk.told[-1].event == "job_cancelled"


def test_the_bound_of_an_array(desk: Listener) -> None:
    desk.array("0-9%3")
    assert desk.hears() == [("job_submitted", "1")]
    desk.wait(1)
    desk.ask(Update(1, 2, UID))
    assert desk.hears() == [("job_updated", "1")]


def test_faults_and_outsiders() -> None:
    desk = Listener(24576, outsiders="report")
    gpu = a_gpu(0)
    outsider = Process(77, 9000, 1005, 0, 5)
    desk.world.set_inventory(Inventory("nvml", (replace(gpu, processes=(outsider,)),)))
    desk.run()
    (told,) = desk.told
    assert (told.event, told.about) == ("outsider_seen", "process 77.5")
    assert told.facts["process"] == {"pid": 77, "uid": 1005, "memory": 9000}
    assert told.facts["gpu"]["name"] == "gpu0"
    desk.hears()
    desk.world.set_inventory(Inventory("nvml", (replace(gpu, fault="Xid 79"),)))
    desk.run()
    (told,) = desk.told
    assert (told.event, told.facts["fault"]) == ("gpu_fault", "Xid 79")


def test_a_drain_by_hand_is_no_fault_and_its_end_makes_a_gpu_available(desk: Listener) -> None:
    before = desk.world.gpus
    desk.ask(DrainGpus(0, ("0",), "fans"))
    drained = desk.world.gpus
    assert list(tidings.of_gpus(before, desk.world)) == []
    desk.ask(ResumeGpus(0, ("0",)))
    (told,) = tidings.of_gpus(drained, desk.world)
    assert (told.event, told.about) == ("gpu_available", "gpu GPU-0")
    assert desk.hears() == []


def test_reservations(desk: Listener) -> None:
    start = desk.now.wall + 3600
    desk.ask(Reserve(0, "course", 3600, start, 1, users=("u",)))
    assert desk.told[0].facts["reservation"]["name"] == "course"
    desk.ask(Unreserve(0, 1))
    assert desk.hears() == [("reservation_created", ""), ("reservation_cancelled", "")]


def test_only_events_of_the_table_are_told(desk: Listener) -> None:
    assert tidings.online().event in EVENTS
    assert {*tidings._OF_STATE.values()} <= set(EVENTS)
