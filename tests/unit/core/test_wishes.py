"""What users may ask for, and what they hear."""

from __future__ import annotations

import pytest

from mgpu.core.decide import Decision, decide
from mgpu.core.policy import Policy
from mgpu.core.requests import Cancel, Requeue, SetPriority, Submit
from mgpu.core.wishes import Accepted, Outcomes
from mgpu.model.errors import MgpuError
from mgpu.model.events import CancelRequested, PriorityChanged, Submitted
from mgpu.model.job import JobSpec
from mgpu.testing.builders import UID, Desk, a_spec, at

STRANGER = 2000


def refusal(desk: Desk, request: Submit | SetPriority) -> MgpuError:
    with pytest.raises(MgpuError) as caught:
        decide(desk.world, request, desk.now)
    return caught.value


def submit(spec: JobSpec, priority: int = 0, count: int = 1, *, admin: bool = False) -> Submit:
    return Submit(UID, "u", spec, priority, count, admin)


def test_a_submission_is_one_event_and_names_the_first_id() -> None:
    desk = Desk(1000)
    spec = a_spec()
    assert decide(desk.world, submit(spec, 3, 10), desk.now) == Decision(
        [Submitted(at(0), 1, 10, UID, "u", spec, 3)], Accepted(1, 10)
    )
    assert desk.world.jobs == {}


def test_no_jobs_cannot_be_submitted() -> None:
    error = refusal(Desk(1000), submit(a_spec(), count=0))
    assert (error.code, str(error)) == ("BadRequest", "count: expected 1 or more, got 0")


def test_more_gpus_than_there_are_are_refused() -> None:
    desk = Desk(1000, 1000)
    error = refusal(desk, submit(a_spec(3)))
    assert (error.code, error.path, error.message, error.hint) == (
        "Refused",
        "spec.gpus",
        "asks for 3 GPUs; this machine has 2",
        "ask for 2 or fewer; mgpu_info shows them",
    )
    assert desk.submit(a_spec(2)) == 1
    assert refusal(Desk(), submit(a_spec(1))).message == "asks for 1 GPU; this machine has 0"
    assert Desk().submit(a_spec(0)) == 1


def test_a_gpu_that_is_out_of_service_still_counts() -> None:
    desk = Desk(1000)
    desk.set_gpu(0, available=False)
    assert desk.submit() == 1


def test_more_memory_than_the_gpus_have_is_refused() -> None:
    desk = Desk(8000, 16000, 12000, policy=Policy(margin=100))
    error = refusal(desk, submit(a_spec(2, 12000)))
    assert (error.code, error.path, error.message, error.hint) == (
        "Refused",
        "spec.gpu_mem",
        "asks for 2 GPUs with 12000 MiB each; this machine has 1 that large (largest: 15900 MiB)",
        "ask for 11900 MiB or less; mgpu_info shows the GPUs",
    )
    assert refusal(desk, submit(a_spec(1, 15901))).message == (
        "asks for 1 GPU with 15901 MiB; this machine has 0 that large (largest: 15900 MiB)"
    )
    assert desk.submit(a_spec(2, 11900)) == 1
    assert desk.submit(a_spec(1, 15900, exclusive=True)) == 2


def test_waiting_jobs_of_a_user_are_bounded_counting_all_of_a_request() -> None:
    desk = Desk(1000, policy=Policy(max_pending_per_user=5))
    desk.submit(count=3)
    error = refusal(desk, submit(a_spec(), count=3))
    assert (error.code, error.path, error.message, error.hint) == (
        "LimitReached",
        "count",
        "3 of your jobs wait; 3 more would pass the limit of 5",
        "wait until some have started, or cancel some",
    )
    assert desk.submit(count=2) == 4
    assert desk.submit(uid=STRANGER, count=5) == 6
    desk.run()
    assert desk.submit() == 11


def test_no_bound_on_waiting_jobs() -> None:
    assert Desk(1000, policy=Policy(max_pending_per_user=0)).submit(count=5000) == 1


def test_a_priority_over_the_users_bound_is_for_administrators() -> None:
    desk = Desk(1000, policy=Policy(max_user_priority=10))
    error = refusal(desk, submit(a_spec(), 11))
    assert (error.code, error.path, error.message, error.hint) == (
        "Denied",
        "spec.priority",
        "11 is more than the 10 that users may give",
        "ask for 10 or less; administrators give more with --admin",
    )
    assert decide(desk.world, submit(a_spec(), 10), desk.now).reply == Accepted(1, 1)
    assert decide(desk.world, submit(a_spec(), 11, admin=True), desk.now).reply == Accepted(1, 1)
    assert refusal(desk, SetPriority((1,), 11, UID)).path == "priority"


def four_phases() -> Desk:
    """Job 1 ended and not yet stored, 2 is being stopped, 3 runs, 4 starts, 5 waits."""
    desk = Desk(*[1000] * 4)
    desk.submit(count=4)
    desk.run()
    desk.submit()
    desk.end(1)
    desk.cancel(2)
    desk.launched(3)
    return desk


def test_cancel_tells_for_each_job_what_became_of_it() -> None:
    desk = four_phases()
    assert decide(desk.world, Cancel((5, 4, 3, 2, 1, 99), UID), desk.now) == Decision(
        [CancelRequested(at(0), number, UID) for number in (5, 4, 3)],
        Outcomes(
            (
                (5, "cancelled"),
                (4, "cancelling"),
                (3, "cancelling"),
                (2, "cancelling"),
                (1, "ended"),
                (99, "unknown"),
            )
        ),
    )


def test_repeated_cancel_is_harmless() -> None:
    desk = four_phases()
    first = desk.cancel(5, 3, 5)
    assert first == Outcomes(((5, "cancelled"), (3, "cancelling")))
    assert decide(desk.world, Cancel((5, 3), UID), desk.now) == Decision(
        [], Outcomes(((5, "ended"), (3, "cancelling")))
    )


def test_a_job_on_its_way_back_to_the_queue_can_be_cancelled() -> None:
    desk = Desk(1000)
    desk.submit()
    desk.run()
    desk.launched(1)
    desk.ask(Requeue((1,), UID))
    assert desk.cancel(1) == Outcomes(((1, "cancelling"),))
    desk.end(1, None, 15, "cancel")
    assert desk.world.jobs == {}


def test_a_stranger_cannot_tell_a_job_from_none() -> None:
    desk = four_phases()
    everything = tuple(range(1, 7))
    assert decide(desk.world, Cancel(everything, STRANGER), desk.now) == Decision(
        [], Outcomes(tuple((number, "unknown") for number in everything))
    )
    assert decide(desk.world, SetPriority((5, 6), 1, STRANGER), desk.now) == Decision(
        [], Outcomes(((5, "unknown"), (6, "unknown")))
    )


def test_an_administrator_cancels_for_others_in_the_own_name() -> None:
    desk = four_phases()
    assert decide(desk.world, Cancel((5,), STRANGER, may_any=True), desk.now) == Decision(
        [CancelRequested(at(0), 5, STRANGER)], Outcomes(((5, "cancelled"),))
    )


def test_only_waiting_jobs_get_another_priority() -> None:
    desk = four_phases()
    assert decide(desk.world, SetPriority((5, 3, 1, 99, 5), 7, UID), desk.now) == Decision(
        [PriorityChanged(at(0), 5, UID, 7)],
        Outcomes(((5, "changed"), (3, "started"), (1, "ended"), (99, "unknown"))),
    )
    assert decide(desk.world, SetPriority((5,), 0, UID), desk.now).events == []


def test_an_administrator_may_give_any_priority_to_any_job() -> None:
    desk = four_phases()
    decision = decide(desk.world, SetPriority((5,), 5000, STRANGER, may_any=True), desk.now)
    assert decision.events == [PriorityChanged(at(0), 5, STRANGER, 5000)]
