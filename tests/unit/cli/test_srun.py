"""mgpu_srun: what becomes of options, scripts and commands; waiting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mgpu.cli.srun import srun
from mgpu.client import Client
from mgpu.protocol.messages import Submit, parse_request
from tests.lib.fake_server import FakeServer, Message
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]
FIRST: Message = {"ok": {"first": 42, "count": 1}}
SCRIPT = b"#!/bin/sh\necho $1\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> Path:
    """A current folder with a script in it."""
    server.answer = lambda _: [FIRST]
    here = tmp_path / "here"
    here.mkdir()
    (here / "job.sh").write_bytes(SCRIPT)
    (here / "true").write_bytes(b"no script")
    monkeypatch.chdir(here)
    return here


def spec(server: FakeServer) -> Any:
    """The description that was sent, after the scheduler has accepted it."""
    request = server.requests[-1]
    assert isinstance(parse_request(request), Submit)
    return request["spec"]


def test_one_line(run: Run, capsys: Capture) -> None:
    assert run(srun, "true") == 0
    assert capsys.readouterr().out == "Submitted job 42\n"
    assert run(srun, "--parsable", "true") == 0
    assert capsys.readouterr().out == "42\n"


def test_defaults(run: Run, server: FakeServer, folder: Path) -> None:
    run(srun, "true")
    sent = spec(server)
    assert (sent["argv"], sent["script"], sent["cwd"]) == ([b"true"], None, os.fsencode(folder))
    assert (sent["gpus"], sent["gpu_mem"], sent["time_limit"], sent["signal"]) == (1, *[None] * 3)
    assert (sent["requeue"], sent["priority"], sent["open_mode"]) == (True, 0, "append")
    assert b"COLUMNS=90" in sent["env"]


@pytest.mark.parametrize(
    ("args", "field", "value"),
    [
        (["-G", "2"], "gpus", 2),
        (["--export-slurm"], "export_slurm", "yes"),
        (["--no-export-slurm"], "export_slurm", "no"),
        (["--gpus=0"], "gpus", 0),
        (["--gres", "gpu"], "gpus", 1),
        (["--gres=gpu:3"], "gpus", 3),
        (["-G", "a100:2"], "gpus", 2),
        (["-G", "a100:2"], "gpu_type", "a100"),
        (["--gres=gpu:a100"], "gpu_type", "a100"),
        (["--gres=gpu:a100:4"], "gpus", 4),
        (["--gpu-type", "a100", "-G", "3"], "gpu_type", "a100"),
        (["--gpu-ids", "0,2"], "gpu_ids", [0, 2]),
        (["--gpu-ids", "0,2"], "gpus", 2),
        (["--gpu-ids", "0,2,3", "-G", "1"], "gpus", 1),
        (["--min-gpu-memory", "40G"], "min_gpu_total", 40960),
        (["--min-capability", "8.6"], "min_capability", [8, 6]),
        (["--min-capability", "9"], "min_capability", [9, 0]),
        (["-c", "8"], "cpus", 8),
        (["--cpus-per-task=8"], "cpus", 8),
        (["--host-mem", "32G"], "host_mem", 32768),
        (["--mem", "8000"], "gpu_mem", 8000),
        (["--gpu-mem", "8G"], "gpu_mem", 8192),
        (["--exclusive"], "exclusive", True),
        (["--time-limit", "600"], "time_limit", 600),
        (["--time-limit", "2h30m"], "time_limit", 9000),
        (["-t", "10"], "time_limit", 600),
        (["--time", "1-12"], "time_limit", 129600),
        (["-J", "n"], "name", "n"),
        (["--job-name", "é"], "name", "é"),
        (["-D", "/x"], "cwd", b"/x"),
        (["-o", "%j.log"], "output", b"%j.log"),
        (["-e", "e\udcff"], "error", b"e\xff"),
        (["--open-mode", "truncate"], "open_mode", "truncate"),
        (["--export", "NONE"], "env", []),
        (["--export", "A=1,B=2"], "env", [b"A=1", b"B=2"]),
        (["--no-requeue"], "requeue", False),
        (["-P", "vision"], "project", "vision"),
        (["-a", "0,6,16-32:4%2"], "array", "0,6,16-32:4%2"),
        (["--max-concurrent", "3"], "max_concurrent", 3),
        (["--name-template", "{lr}"], "name_template", "{lr}"),
        (
            ["--param", "lr=0.1,0.01", "--param", 'a="1,2",'],
            "sweep",
            [[["lr"], [["0.1"], ["0.01"]]], [["a"], [["1,2"], [""]]]],
        ),
        (["--param", "a="], "sweep", [[["a"], [[""]]]]),
        (["-d", "afterok:12:13"], "dependency", "afterok:12:13"),
        (["--dependency", "@~1"], "dependency", "@~1"),
        (["--kill-on-invalid-dep=no"], "kill_on_invalid_dep", False),
        (["--retries", "3"], "retries", 3),
        (["--signal", "USR1"], "signal", [10, 60]),
        (["--signal", "SIGTERM@30"], "signal", [15, 30]),
        (["--signal", "12@120"], "signal", [12, 120]),
        (["--priority", "-5"], "priority", -5),
        (["--nice"], "priority", -100),
        (["--nice=-5"], "priority", 5),
        (["--nice", "-5"], "priority", 5),
        (["--nice=7"], "priority", -7),
        (["--nice", "7", "-G", "2"], "priority", -7),
        (["-J", "--nice"], "priority", 0),
        (["--cron", "0 2 * * *"], "overlap", "skip"),
        (["--cron", "0 2 * * *", "--cron-missed", "once"], "missed", "once"),
        (["--venv", "/v"], "activate", {"mode": "venv", "path": b"/v"}),
        (["--conda-env", "my env"], "activate", {"mode": "conda", "path": b"my env"}),
        (["--no-activate"], "activate", {"mode": "none", "path": b""}),
    ],
)
def test_options(args: list[str], field: str, value: object, run: Run, server: FakeServer) -> None:
    assert run(srun, *args, "--", "true") == 0
    assert spec(server)[field] == value


def test_options_end_at_the_command(run: Run, server: FakeServer) -> None:
    run(srun, "python", "-G", "3", "--gpus", "--", "x")
    assert spec(server)["argv"] == [b"python", b"-G", b"3", b"--gpus", b"--", b"x"]
    assert spec(server)["gpus"] == 1


def test_an_administrator_asks_at_the_other_socket(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def client(socket: str, _config: object, *, admin: bool, **_: object) -> Client:
        asked.append(admin)
        return Client(socket)

    monkeypatch.setattr("mgpu.client.Client", client)
    assert run(srun, "--priority", "7", "true") == 0
    assert run(srun, "--admin", "--priority", "7", "true") == 0
    assert asked == [False, True]


@pytest.mark.parametrize("words", [["sleep", "1"], ["nice", "--nice", "5"], ["a", "--nice"]])
def test_nice_takes_no_word_of_the_command(words: list[str], run: Run, server: FakeServer) -> None:
    assert run(srun, "-G", "0", "--nice", *words) == 0
    assert (spec(server)["argv"], spec(server)["priority"]) == ([w.encode() for w in words], -100)


@pytest.mark.parametrize("word", ["job.sh", "./job.sh"])
def test_a_script_is_copied(word: str, run: Run, server: FakeServer) -> None:
    run(srun, word, "-x", "y")
    sent = spec(server)
    assert (sent["script"], sent["script_name"], sent["argv"]) == (SCRIPT, "job.sh", [b"-x", b"y"])


@pytest.mark.parametrize("args", [["--", "./job.sh"], ["true"], ["/bin/true"], ["sh", "job.sh"]])
def test_a_command_is_none(args: list[str], run: Run, server: FakeServer) -> None:
    run(srun, *args)
    assert spec(server)["script"] is None


@pytest.mark.parametrize("word", ["fifo", ".", "missing"])
def test_what_cannot_be_read_is_a_command(word: str, run: Run, server: FakeServer) -> None:
    os.mkfifo("fifo")
    assert run(srun, word) == 0
    assert spec(server)["argv"] == [word.encode()]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Missing argument 'COMMAND...'"),
        (["--gpus", "two", "true"], '"two" is not a number of GPUs; write 2 or a100:2'),
        (["--gpus", "-1", "true"], '"-1" is not a number of GPUs'),
        (["--gpus", "2000", "true"], "2000 GPUs are too many; the most is 1024"),
        (["--gpus", ":2", "true"], '":2" is not a number of GPUs'),
        (["--gpus", "1", "--gres", "gpu:1", "true"], "--gpus and --gres say the same thing"),
        (["--gres", "shard:1", "true"], '"shard:1" is not known; write gpu:2 or gpu:a100:2'),
        (["--gres", "gpu:a100:x", "true"], '"a100:x:1" is not a number of GPUs'),
        (["-G", "a100:1", "--gpu-type", "l4", "true"], "--gpu-type l4 and a100 differ"),
        (["--gpu-ids", "a", "true"], '"a" names no GPUs; write 0 or 0,2'),
        (["--min-capability", "x", "true"], '"x" is not a compute capability; write 8.0'),
        (["-c", "0", "true"], "0 is not in the range 1<=x<=65536"),
        (["--mem", "8X", "true"], '"8X" is not a size'),
        (["--time-limit", "soon", "true"], '"soon" is not a duration'),
        (["--time-limit", "5", "-t", "5", "true"], "say the same thing"),
        (["--signal", "NOPE", "true"], '"NOPE" is not a signal'),
        (["--signal", "B:TERM", "true"], "B: (the shell alone) is not supported"),
        (["--signal", "USR1@0", "true"], "the time is 1 to 65535 seconds"),
        (["--export", "a b", "true"], "export: 'a b' is not the name of a variable"),
        (["--config", "/none", "true"], "/none cannot be read"),
        (["--cron", "", "true"], "Invalid value for '--cron': it is empty"),
        (["--array", "", "true"], "it is empty; leave the option away"),
        (["-d", " ", "true"], "it is empty"),
        (["--gpu-type", "", "true"], "it is empty"),
        (["--qos", "", "true"], "it is empty"),
        (["--project", "", "true"], "it is empty"),
        (["--cron-overlap", "skip", "true"], "--cron-overlap says nothing without --cron"),
        (["--cron-missed", "once", "true"], "--cron-missed says nothing without --cron"),
        (["--timezone", "UTC", "true"], "says nothing without --cron or --begin or --deadline"),
        (["--nice=x", "true"], "'x' is not a valid integer"),
        (["--partition", "x", "true"], "leave it away"),
        (["-N", "1", "true"], "leave it away"),
        (["--name", "\udcff", "true"], "not valid UTF-8"),
    ],
)
def test_usage_errors(
    args: list[str], message: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(srun, *args) == 2
    assert message in capsys.readouterr().err
    assert server.requests == []


def test_a_refusal(run: Run, server: FakeServer, capsys: Capture) -> None:
    body = {"code": "LimitReached", "message": "1000 \x1b jobs wait", "path": "", "hint": "wait"}
    server.answer = lambda _: [{"error": body}]
    assert run(srun, "true") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(": hint: wait\n")
    assert ": error: 1000 \\x1b jobs wait\n" in captured.err


@pytest.mark.parametrize(
    ("end", "status", "told"),
    [
        (["COMPLETED", 0, None], 0, ""),
        (["FAILED", 7, None], 7, "FAILED (exit code 7)"),
        (["FAILED", None, 9], 137, "FAILED (signal 9)"),
        (["FAILED", 1, None, "odd"], 1, "FAILED (exit code 1): odd"),
        (["TIMEOUT", None, 15], 143, "TIMEOUT"),
        (["CANCELLED", None, None], 1, "CANCELLED"),
        (["LAUNCH_FAILED", None, None, "chdir: ENOENT"], 1, "LAUNCH_FAILED: chdir: ENOENT"),
    ],
)
def test_wait(
    end: list[object], status: int, told: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    def answer(request: Message) -> list[Message]:
        if request["op"] == "submit":
            return [FIRST]
        return [{"part": {"job": [42, *end]}}, {"ok": {}}]

    server.answer = answer
    assert run(srun, "--wait", "true") == status
    captured = capsys.readouterr()
    assert captured.out == "Submitted job 42\n"
    assert captured.err == (f"mgpu_srun: note: job 42 ended: {told}\n" if told else "")


@pytest.mark.parametrize("words", [["-Q"], ["--quiet", "--wait"]])
def test_quiet_says_nothing_but_errors(
    words: list[str], run: Run, server: FakeServer, capsys: Capture
) -> None:
    end: list[Message] = [{"part": {"job": [42, "FAILED", 3, None]}}, {"ok": {}}]
    server.answer = lambda asked: [FIRST] if asked["op"] == "submit" else end
    assert run(srun, *words, "true") == (3 if "--wait" in words else 0)
    assert capsys.readouterr() == ("", "")
    server.answer = lambda _: [{"error": {"code": "Refused", "message": "no", "hint": "ask"}}]
    assert run(srun, *words, "true") == 1
    assert capsys.readouterr().err == "mgpu_test: error: no\nmgpu_test: hint: ask\n"


def test_an_interrupted_wait_leaves_the_job(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupted(_client: Client, *_jobs: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "wait", interrupted)
    assert run(srun, "-W", "true") == 130
    assert "job 42 goes on; see it with: mgpu_queue --jobs 42" in capsys.readouterr().err
