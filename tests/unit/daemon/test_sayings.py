"""Events as sentences: why a run of a job that goes on is over."""

from __future__ import annotations

import pytest

from mgpu.daemon.sayings import how_over
from mgpu.model import events as ev
from mgpu.model.time import Now

NOW = Now(1000.0, 50.0)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([ev.Requeued(NOW, 3, 1, "TIMEOUT")], "time limit"),
        ([ev.Requeued(NOW, 3, 1, "NODE_FAIL")], "the machine went down"),
        ([ev.Retried(NOW, 3, 1, 4, None, 60.0)], "exit code 4"),
        ([ev.Retried(NOW, 3, 1, None, 9, 60.0)], "signal 9"),
        (
            [
                ev.Evicted(NOW, 3, 1, "requeue", "requeued by its owner"),
                ev.Requeued(NOW, 3, 1, "PREEMPTED"),
            ],
            "requeued by its owner",
        ),
        (
            [ev.Preempted(NOW, 3, 1, 7), ev.Requeued(NOW, 3, 1, "PREEMPTED")],
            "switched out for job 7",
        ),
        ([ev.Requeued(NOW, 3, 2, "TIMEOUT"), ev.PriorityChanged(NOW, 3, 1, 5)], ""),
        ([], ""),
    ],
)
def test_why_a_run_is_over(events: list[ev.Event], said: str) -> None:
    assert how_over(events, 1) == said
