"""mgpu_ctl drain, resume, set-gpus, show-gpus, gpu: what is asked, and what people see."""

from __future__ import annotations

import pwd
from types import SimpleNamespace
from typing import Any

import click
import pytest

from mgpu.cli.ctl_gpu import drain, gpu, resume, set_gpus, show_gpus
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run

Capture = pytest.CaptureFixture[str]
list_, ignore, unignore, simulate = (
    gpu.commands[word] for word in ("list", "ignore", "unignore", "simulate")
)
PEOPLE = {1003: "carol", 1005: "eve\x1b[2J"}


@pytest.fixture(autouse=True)
def known_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The users of these tests."""
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name=PEOPLE[uid]))


@pytest.mark.parametrize(
    ("command", "args", "asked", "key", "told"),
    [
        (drain, ["0", "gpu1,2-3", "--reason", "new fans"],
         {"op": "gpu_drain", "gpus": ["0", "gpu1", "2-3"], "reason": "new fans"},
         "gpu0,gpu1,gpu2,gpu3", "Drained gpu0, gpu1, gpu2, gpu3"),
        (resume, ["GPU-51"], {"op": "gpu_resume", "gpus": ["GPU-51"]}, "gpu0", "Resumed gpu0"),
        (drain, ["--reason", "x"], {"op": "machine_drain", "reason": "x"}, "machine",
         "Drained the machine"),
        (resume, [], {"op": "machine_resume"}, "machine", "Resumed the machine"),
        (set_gpus, ["0-1,3"], {"op": "gpu_set", "gpus": ["0-1", "3"]}, "gpu0,gpu1,gpu3",
         "New jobs start on gpu0, gpu1, gpu3 alone"),
        (set_gpus, ["all"], {"op": "gpu_set", "gpus": ["all"]}, "all",
         "New jobs start where the configuration allows it"),
        (ignore, ["44"], {"op": "gpu_ignore", "pid": 44}, "44", "Ignoring process 44"),
        (unignore, ["44"], {"op": "gpu_unignore", "pid": 44}, "44", "Process 44 counts again"),
        (simulate, ["1", "--used", "8G", "--process", "4242:700", "--process", "7:1G"],
         {"op": "gpu_simulate", "gpu": "1", "used": 8192, "processes": [[4242, 700], [7, 1024]]},
         "gpu1", "Told gpu1"),
        (simulate, ["1", "--fault", "Xid 79", "--hang", "--utilization", "0"],
         {"op": "gpu_simulate", "gpu": "1", "utilization": 0, "fault": "Xid 79", "hang": True},
         "gpu1", "Told gpu1"),
        (simulate, ["1", "--well", "--used", "1G"],
         {"op": "gpu_simulate", "gpu": "1", "used": 1024, "processes": [], "utilization": -1,
          "fault": "", "hang": False}, "gpu1", "Told gpu1"),
    ],
)  # fmt: skip
def test_orders(
    command: click.Command,
    args: list[str],
    asked: dict[str, Any],
    key: str,
    told: str,
    run: Run,
    server: FakeServer,
    capsys: Capture,
) -> None:
    server.answer = lambda _: [{"ok": {"key": key}}]
    assert run(command, *args) == 0
    assert server.requests == [asked]
    assert capsys.readouterr().out == f"{told}\n"


@pytest.mark.parametrize(
    ("command", "args", "message"),
    [
        (drain, ["0"], "Missing option '--reason'"),
        (set_gpus, [], "Missing argument '0-1,3|all'"),
        (ignore, ["x"], "'x' is not a valid integer"),
        (simulate, ["0"], "say what is to happen"),
        (simulate, ["0", "--process", "44"], '"44" is no process; write PID:SIZE'),
        (simulate, ["0", "--process", "44:much"], '"much" is not a size'),
    ],
)
def test_refused(
    command: click.Command,
    args: list[str],
    message: str,
    run: Run,
    server: FakeServer,
    capsys: Capture,
) -> None:
    assert run(command, *args) == 2
    assert message in capsys.readouterr().err
    assert not server.requests


def test_an_error_says_what_to_do_next(run: Run, server: FakeServer, capsys: Capture) -> None:
    error = {"code": "Unknown", "message": 'there is no GPU "gpu7"; there are gpu0, gpu1'}
    error |= {"path": "gpus", "hint": "mgpu_info shows the GPUs"}
    server.answer = lambda _: [{"error": error}]
    assert run(drain, "7", "--reason", "x") == 1
    assert capsys.readouterr().err.splitlines() == [
        'mgpu_test: error: gpus: there is no GPU "gpu7"; there are gpu0, gpu1',
        "mgpu_test: hint: mgpu_info shows the GPUs",
    ]


GPU: dict[str, Any] = {
    "index": 0, "uuid": "GPU-1", "card": "", "name": "NVIDIA A100", "available": True,
    "state": "available", "note": "", "allowed": True, "fault": "", "drain": None,
}  # fmt: skip
DRAIN = {"reason": "new fans\x1b[2J", "by": 1003, "at": MOMENT, "fault": False}
XID = "Xid 48: double bit ECC error"
GPUS = [
    GPU,
    GPU | {"index": 1, "available": False, "state": "drained",
           "note": "drained: new fans\x1b[2J", "drain": DRAIN},
    GPU | {"index": 2, "available": False, "state": "fault", "note": f"drained: {XID}",
           "fault": XID, "drain": DRAIN | {"reason": XID, "by": 0, "fault": True}},
    GPU | {"index": 3, "available": False, "state": "restricted", "allowed": False,
           "note": "not among the GPUs that mgpu may use", "drain": DRAIN | {"by": 4}},
    GPU | {"index": 4, "available": False, "state": "unknown", "note": "NVML: GPU is lost",
           "allowed": False},
    GPU | {"index": 5, "state": "cleaning", "note": "pid 77 of job 12 still there"},
    GPU | {"index": 6, "fault": XID},
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "restriction", "args"),
    [
        ("table", {"source": "set-gpus", "by": 1003, "gpus": [0, 1, 2, 5, 6]}, []),
        ("configured", {"source": "configuration", "by": None, "gpus": []}, []),
        ("free", None, []),
        ("json", {"source": "set-gpus", "by": 1003, "gpus": [0]}, ["--json"]),
    ],
)
def test_show_gpus(
    name: str,
    restriction: dict[str, Any] | None,
    args: list[str],
    run: Run,
    server: FakeServer,
    golden: Golden,
    capsys: Capture,
) -> None:
    gpus = GPUS if name == "table" else GPUS[:2]
    body = {"now": MOMENT, "gpus": gpus, "restriction": restriction}
    server.answer = lambda _: [{"ok": body}]
    assert run(show_gpus, *args) == 0
    golden.check(f"cli/show_gpus_{name}.txt", capsys.readouterr().out)


PROCESSES = [
    {"pid": 44, "uid": 1005, "gpu": 0, "uuid": "GPU-1", "memory": 700, "since": MOMENT,
     "ignored": False},
    {"pid": 4242, "uid": 1003, "gpu": 1, "uuid": "GPU-2", "memory": 8192, "since": MOMENT - 90000,
     "ignored": True},
    {"pid": 5, "uid": -1, "gpu": 1, "uuid": "GPU-2", "memory": -1, "since": 0.0, "ignored": False},
    {"pid": 6, "uid": 77, "gpu": 1, "uuid": "GPU-2", "memory": 1, "since": MOMENT,
     "ignored": False},
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), [("table", []), ("json", ["--json"])])
def test_list(
    name: str, args: list[str], run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    server.answer = lambda _: [{"ok": {"now": MOMENT, "processes": PROCESSES}}]
    assert run(list_, *args) == 0
    golden.check(f"cli/gpu_list_{name}.txt", capsys.readouterr().out)
