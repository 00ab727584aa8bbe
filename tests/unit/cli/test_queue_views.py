"""mgpu_queue --priority, --start, --why: what people see."""

from __future__ import annotations

import pytest

from mgpu.cli.queue import queue
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run

ANSWERS = {
    "ranks": {
        "order": "fairshare",
        "rows": [
            [7, 0, "", "alice", 0, 3.25, 2.5, 0.0, 0.0, 1.0, -0.25],
            [42, 42, "8-100", "bob", -5, -1.5, 0.25, 0.0, 0.0, 0.0, -1.75],
        ],
    },
    "starts": {
        "now": MOMENT,
        "rows": [[7, 0, "", "alice", MOMENT, [0, 1], 3], [51, 42, "7", "bob", MOMENT + 60, [], 0]],
    },
    "why": {
        "rows": [[7, 0, "", "alice", "PENDING", ["Resources: needs 2 GPUs.", "Its \x1b rank."]]],
    },
}


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("ranks", ["--priority"]),
        ("ranks_json", ["--priority", "--json"]),
        ("starts", ["--start"]),
        ("starts_json", ["--start", "--json", "--jobs", "7,51"]),
        ("why", ["--why", "7"]),
        ("why_json", ["--why", "7", "--json"]),
    ],
)
def test_what_is_shown(
    name: str,
    args: list[str],
    run: Run,
    server: FakeServer,
    golden: Golden,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.answer = lambda request: [{"ok": ANSWERS[str(request["op"])]}]
    assert run(queue, *args) == 0
    golden.check(f"cli/queue_{name}.txt", capsys.readouterr().out)


def test_a_job_that_is_not_active_is_named(
    run: Run, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda _: [{"ok": {"rows": []}}]
    assert run(queue, "--why", "9") == 1
    assert "job 9: unknown, or ended" in capsys.readouterr().err
