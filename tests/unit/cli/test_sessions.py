"""What every command says, good and bad, as a session at a shell that is kept whole."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from mgpu.cli import base
from mgpu.cli.cancel import cancel
from mgpu.cli.ctl import ctl
from mgpu.cli.info import info
from mgpu.cli.job import job as job_group
from mgpu.cli.main import group
from mgpu.cli.queue import queue
from mgpu.cli.sbatch import sbatch
from mgpu.cli.srun import srun
from mgpu.cli.stats import stats
from mgpu.cli.top import top
from mgpu.model.time import Now
from mgpu.system import clock
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, job, listing

PROGRAMS: dict[str, click.Command] = {
    "mgpu": group, "mgpu_srun": srun, "mgpu_sbatch": sbatch, "mgpu_queue": queue,
    "mgpu_cancel": cancel, "mgpu_job": job_group, "mgpu_info": info, "mgpu_stats": stats,
    "mgpu_top": top, "mgpu_ctl": ctl,
}  # fmt: skip
#: What becomes of a job that is named: 3 is as it should be, the others are not.
OUTCOMES = {
    "cancel": {3: "cancelled", 4: "cancelling", 5: "ended", 9: "unknown"},
    "hold": {3: "held", 4: "started", 5: "ended", 9: "unknown"},
    "release": {3: "released", 4: "admin", 5: "ended", 9: "unknown"},
    "requeue": {3: "requeued", 4: "waits", 5: "never", 9: "unknown"},
    "signal": {3: "signalled", 4: "waits", 5: "ended", 9: "unknown"},
    "priority": {3: "changed", 4: "started", 5: "ended", 9: "unknown"},
}
SPEC = {"argv": [b"true"], "env": [b"PATH=/bin", b"TOKEN=x\x1b[31m"], "name": "true"}
PLAIN: dict[str, Message] = {
    "newest": {"job": 3},
    "history": {"rows": [[MOMENT, "Submitted", 0, 0, "priority 0"]]},
    "submission": {
        "states": ["FAILED"], "spec": SPEC, "lost_gpus": 0, "origin": 1, "dependents": [],
    },
    "why": {"rows": [[3, 0, "", "alice", "PENDING", ["It is next in line."]]], "notify": []},
    "logs": {"rows": []},
    "wait": {},
}  # fmt: skip
SESSIONS = {
    "mgpu": ["frobnicate", "queu", "job sho 3", "--version"],
    "mgpu_srun": [
        "true", "--parsable true", "--quiet true", "--wait true", "--quiet --wait true",
        "--cron '0 2 * * *' true", "--test-only true", "--gpus 9 true", "--gpus two true",
        "-N 2 true", "", "--follow --interactive true", "--interactive bash",
        "--array 0-3 --follow true", "--wrap x true",
    ],
    "mgpu_sbatch": ["job.sh", "--parsable job.sh", "none.sh", "--exclusive job.sh", "wrong.sh"],
    "mgpu_queue": [
        "--jobs 3,99", "--jobs 99", "--jobs 8", "--jobs 8 --all", "--jobs 3,8", "--format %y",
        "--sort colour", "--json --csv", "--states LOST", "--why 3 --tree",
        "--user root,not-there --no-header",
    ],
    "mgpu_cancel": ["3", "3-5,9", "9", "", "x", "--signal FOO 3"],
    "mgpu_job": [
        "hold 3", "hold 3-5,9", "release 3", "release 4", "update 3 --priority 5",
        "update 3-5,9 --priority 5", "update 3", "update 3 --mem x", "signal 3-5,9 USR1",
        "redo 3", "redo --parsable 3", "redo 77", "env 3", "env 3 --json", "history 3",
        "show 3 --json", "show 99", "log 99", "attach 3", "attach 3_7", "hold 3x",
    ],
    "mgpu_info": ["--watch 0", "--json"],
    "mgpu_stats": ["--json --csv", "--jobs 3_7", "--by colour", "--since soon"],
    "mgpu_top": ["--interval 0"],
    "mgpu_ctl": [
        "hold 3", "release 3-4", "cancel 3-5,9", "requeue 3-5", "priority 3 --to 5", "limit 3 x",
        "drain 0", "drain 0 --reason hot", "quota set", "reserve create", "log-level loud",
        "audit --job x",
    ],
}  # fmt: skip


def refusal(code: str, message: str, hint: str = "") -> list[Message]:
    return [{"error": {"code": code, "message": message, "path": "", "hint": hint}}]


def scheduler(request: Message) -> Iterable[Message]:
    """A scheduler with one GPU, where job 3 waits."""
    op, jobs = request["op"], request.get("jobs")
    if op == "submit":
        return submitted(request)
    if op == "jobs":
        rows = [job(id=3), job(id=8, state="COMPLETED", ended=MOMENT, code=0)]
        return listing(*(rows if request.get("ended") else rows[:1]))(request)
    if op == "submission" and jobs == [77]:
        return refusal("UnknownJob", "job 77: unknown, or not yours", "mgpu_queue lists yours")
    if op == "wait":
        return [{"part": {"job": [42, "FAILED", 3, None]}}, {"ok": {}}]
    if op in OUTCOMES and isinstance(jobs, list):
        return [{"ok": {"jobs": [[one, OUTCOMES[str(op)][one]] for one in jobs]}}]
    if op in PLAIN:
        return [{"ok": PLAIN[str(op)]}]
    return refusal("Refused", f"{op} is not played here")


def submitted(request: Any) -> Iterable[Message]:
    if request["spec"].get("gpus") == 9:
        return refusal("Refused", "asks for 9 GPUs; this machine has 1", "ask for 1")
    if request.get("dry"):
        return [{"ok": {"at": MOMENT, "gpus": [0], "after": "", "reason": "", "detail": ""}}]
    return [{"ok": {"first": 42, "count": 1}}]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with scripts in it and both sockets, at a fixed time, for an ordinary user."""
    (tmp_path / "job.sh").write_text("#!/bin/sh\ntrue\n")
    (tmp_path / "wrong.sh").write_text("#!/bin/sh\n#SBATCH --mem-per-cpu=2G\n")
    (tmp_path / "admin.sock").symlink_to("mgpu.sock")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MGPU_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(clock, "now", lambda: Now(MOMENT, 1000.0))
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    with FakeServer(tmp_path / "mgpu.sock", scheduler):
        yield tmp_path


@pytest.mark.parametrize("program", sorted(SESSIONS))
def test_what_is_said(
    program: str,
    place: Path,
    golden: Golden,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    said = [spoken(program, words, capsys) for words in SESSIONS[program]]
    golden.check(f"cli/session_{program}.txt", "\n".join(said))


def spoken(program: str, words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """A line, what it prints, what it complains of, and its status where that is not 0."""
    status = base.status_of(PROGRAMS[program], shlex.split(words))
    printed = capsys.readouterr()
    end = f"[status {status}]\n" if status else ""
    return f"$ {program} {words}".rstrip() + f"\n{printed.out}{printed.err}{end}"


def test_every_program_has_a_session() -> None:
    assert set(SESSIONS) == set(PROGRAMS)


@pytest.mark.parametrize(
    "line",
    [
        *("mgpu_queue", "mgpu_cancel 3", "mgpu_stats", "mgpu_job hold 3", "mgpu_job release 3"),
        *("mgpu_job show 3", "mgpu_job log 3", "mgpu_job update 3 --priority 1"),
        *("mgpu_job signal 3 USR1", "mgpu_job history 3", "mgpu_job cron list"),
    ],
)
def test_root_needs_no_option_to_be_an_administrator(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MGPU_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program, *words = shlex.split(line)
    with FakeServer(tmp_path / "admin.sock", scheduler) as server:
        base.status_of(PROGRAMS[program], words)
    assert server.requests
