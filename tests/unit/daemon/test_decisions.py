"""Each decision about a job is a line in the log with its id, and says nothing that is private."""

from __future__ import annotations

import pytest

from mgpu.daemon import decisions
from mgpu.model.events import Event, Evicted
from mgpu.system.log import log
from tests.lib.samples import EVENTS, NOW
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import Rig, a_submit


def test_a_job_can_be_followed_by_its_id(
    rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "level", "debug")
    secret: Map = {"name": "hush", "argv": [b"hush"], "cwd": b"/hush", "env": [b"A=hush"]}
    rig.client().one(a_submit(gpus=1, **secret))
    rig.supervisor(1).runs()
    rig.supervisor(1).ends(3, detail="hush")
    text = capfd.readouterr().err
    lines = [line for line in text.splitlines() if " job=1" in line or "jobs=1 " in line]
    actions = [word for line in lines for word in line.split() if word.startswith("action=")]
    assert actions == [
        "action=submit",
        "action=job-submitted",
        "action=job-start",
        "action=job-running",
        "action=job-end",
    ]
    assert "state=FAILED code=3" in lines[-1]
    assert "hush" not in text


@pytest.mark.parametrize(
    ("cause", "detail", "said"),
    [
        ("requeue", "requeued by an administrator", "a job is requeued by an administrator"),
        ("memory", "gpu1: 9000 MiB of 8000", "a job is ended because of its own doing"),
        ("idle", "idle for 2 h", "a job is ended because of its own doing"),
    ],
)
def test_a_job_is_not_blamed_for_what_others_order(
    capfd: pytest.CaptureFixture[str], cause: str, detail: str, said: str
) -> None:
    decisions.tell([Evicted(NOW, 7, 1, cause, detail)])
    assert said in capfd.readouterr().err


@pytest.mark.parametrize("event", EVENTS.values(), ids=list(EVENTS))
def test_no_event_tells_what_is_private(
    event: Event, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "level", "debug")
    decisions.tell([event])
    text = capfd.readouterr().err
    assert not text or f"job={event.job}" in text
    spec = getattr(event, "spec", None)
    for private in ("out of luck", "EAGAIN", *((spec.command, spec.cwd) if spec else ())):
        assert private not in text
