"""Options of a submission in variables and in scripts; scripts from elsewhere; --dry-run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mgpu.cli.sbatch import sbatch
from mgpu.cli.srun import srun
from mgpu.protocol.messages import Submit, parse_request
from tests.lib.fake_server import FakeServer
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
Given = Callable[[bytes], None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: Patch, server: FakeServer) -> Path:
    """An empty current folder."""
    server.answer = lambda _: [{"ok": {"first": 42, "count": 1}}]
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(*lines: str) -> str:
    """The path of a script with these lines."""
    Path("job.sh").write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    return "./job.sh"


def spec(server: FakeServer) -> Any:
    request = server.requests[-1]
    assert isinstance(parse_request(request), Submit)
    return request["spec"]


def test_directives_are_options(run: Run, server: FakeServer) -> None:
    path = script("", "# words", '#MGPU --gpus 2 -J "two words"', "#MGPU --mem 8G # each", "true")
    assert run(srun, path, "x") == 0
    sent = spec(server)
    assert (sent["gpus"], sent["name"], sent["gpu_mem"]) == (2, "two words", 8192)
    assert sent["argv"] == [b"x"]
    assert sent["script"] == Path(path).read_bytes()


def test_directives_end_at_the_first_line_that_is_no_comment(run: Run, server: FakeServer) -> None:
    assert run(srun, script("#MGPU -G 2", "true", "#MGPU -G 3", "#MGPU --nonsense")) == 0
    assert spec(server)["gpus"] == 2


def test_what_only_begins_like_a_directive_is_a_comment(run: Run, server: FakeServer) -> None:
    assert run(srun, script("#MGPUS -G 2", "# MGPU -G 3", " #MGPU -G 4", "##SBATCH -G 5")) == 0
    assert spec(server)["gpus"] == 1


def test_a_command_after_two_dashes_has_no_directives(run: Run, server: FakeServer) -> None:
    assert run(srun, "--", script("#MGPU -G 2")) == 0
    assert (spec(server)["gpus"], spec(server)["script"]) == (1, None)


def test_slurms_directives_mean_what_they_mean_there(run: Run, server: FakeServer) -> None:
    path = script(
        *("#SBATCH --nodes=1 -n1 --partition=gpu", "#SBATCH --mem=16G", "#SBATCH -t 90"),
        *("#SBATCH --gres=gpu:a100:2 --cpus-per-task=4", "#SBATCH --account=lab -a 0-3%2"),
    )
    assert run(srun, path) == 0
    sent = spec(server)
    assert (sent["host_mem"], sent["gpu_mem"], sent["time_limit"]) == (16384, None, 5400)
    assert (sent["gpus"], sent["gpu_type"], sent["cpus"]) == (2, "a100", 4)
    assert (sent["project"], sent["array"]) == ("lab", "0-3%2")


def test_the_command_line_goes_before_variables_before_directives(
    run: Run, server: FakeServer, monkeypatch: Patch
) -> None:
    path = script("#SBATCH -J slurm -c 1 --qos s", "#MGPU -J ours -c 2", "#MGPU --time-limit 60")
    monkeypatch.setenv("MGPU_SRUN_NAME", "variable")
    monkeypatch.setenv("MGPU_SRUN_TIME", "5")
    assert run(srun, path) == 0
    sent = spec(server)
    assert (sent["name"], sent["cpus"], sent["qos"]) == ("variable", 2, "s")
    assert sent["time_limit"] == 300
    assert run(srun, "-J", "line", "--time-limit", "7", path) == 0
    assert (spec(server)["name"], spec(server)["time_limit"]) == ("line", 7)


def test_one_of_two_options_that_say_the_same_puts_aside_the_other(
    run: Run, server: FakeServer
) -> None:
    assert run(srun, "--gres", "gpu:3", script("#MGPU -G a100:2")) == 0
    assert (spec(server)["gpus"], "gpu_type" in spec(server)) == (3, False)


@pytest.mark.parametrize(
    ("variable", "value", "field", "sent"),
    [
        ("GPUS", "2", "gpus", 2),
        ("GPU_MEM", "4G", "gpu_mem", 4096),
        ("MEM", "4G", "gpu_mem", 4096),
        ("REQUEUE", "no", "requeue", False),
        ("NO_REQUEUE", "1", "requeue", False),
        ("HOLD", "yes", "hold", True),
        ("NICE", "5", "priority", -5),
        ("PARAM", "lr=1,2", "sweep", [[["lr"], [["1"], ["2"]]]]),
        ("GPUS", "", "gpus", 1),
    ],
)
def test_variables_are_options(
    variable: str, value: str, field: str, sent: object, run: Run, server: FakeServer,
    monkeypatch: Patch,
) -> None:  # fmt: skip
    monkeypatch.setenv(f"MGPU_SRUN_{variable}", value)
    assert run(srun, "true") == 0
    assert spec(server)[field] == sent


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("GPUS", "two", "MGPU_SRUN_GPUS: Invalid value for '-G' / '--gpus': \"two\" is not a"),
        ("GPU", "2", "MGPU_SRUN_GPU names no option of mgpu_srun"),
        ("WRAP", "rm", "MGPU_SRUN_WRAP names no option"),
        ("HOLD", "perhaps", "MGPU_SRUN_HOLD: "),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, words: str, run: Run, server: FakeServer, monkeypatch: Patch,
    capsys: Capture,
) -> None:  # fmt: skip
    monkeypatch.setenv(f"MGPU_SRUN_{variable}", value)
    assert run(srun, "true") == 2
    assert words in capsys.readouterr().err
    assert not server.requests
    assert run(srun, "--help") == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("#MGPU --gpu 2", "line 3 of the script, #MGPU: No such option '--gpu'"),
        ("#MGPU -G two", "line 3 of the script, #MGPU: Invalid value for '-G'"),
        ("#MGPU -J 'a", '#MGPU: No closing quotation in "-J \'a"'),
        ("#MGPU -G 2 true", '"true" is more than options'),
        ("#MGPU --socket /tmp/x", "--socket is for the command line"),
        ("#MGPU --admin", "--admin is for the command line"),
        ("#MGPU --help", "--help is for the command line"),
        ("#SBATCH --wrap=x", "--wrap is for the command line"),
        ("#SBATCH --nodes=2", '"2": a job of mgpu is one task on one machine; write 1'),
        ("#SBATCH -n 4", '"4": a job of mgpu is one task'),
        ("#SBATCH -w elsewhere", '"elsewhere": the only node is '),
        ("#SBATCH --exclusive", "--exclusive is of sbatch, but mgpu has no such thing"),
        ("#SBATCH -C a100", "-C is of sbatch, but mgpu has no such thing: say --gpu-type"),
        ("#SBATCH --mem-per-cpu=1G", "--mem-per-cpu is of sbatch"),
        ("#SBATCH --burst-buffer=x", "No such option '--burst-buffer'"),
    ],
)
def test_a_wrong_directive_is_named(
    line: str, words: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(srun, script("# first", line)) == 2
    assert words in capsys.readouterr().err
    assert not server.requests


def test_wrap(run: Run, server: FakeServer, capsys: Capture) -> None:
    assert run(srun, "--wrap", "a | b") == 0
    sent = spec(server)
    assert (sent["script"], sent["script_name"], sent["argv"]) == (
        b"#!/bin/sh\na | b\n", "wrap", [],
    )  # fmt: skip
    assert run(srun, "--wrap", "a", "b") == 2
    assert "--wrap and a COMMAND cannot be used together" in capsys.readouterr().err


@pytest.fixture
def given(monkeypatch: Patch) -> Iterator[Given]:
    """Let standard input be what this is called with."""
    with ExitStack() as files:

        def give(content: bytes) -> None:
            file = files.enter_context(tempfile.TemporaryFile("w+b"))
            file.write(content)
            file.seek(0)
            monkeypatch.setattr("sys.stdin", file)

        yield give


def test_a_script_from_standard_input(run: Run, server: FakeServer, given: Given) -> None:
    given(b"#!/bin/sh\n#MGPU -G 2\n")
    assert run(srun, "-", "x") == 0
    sent = spec(server)
    assert (sent["script"], sent["argv"], sent["gpus"]) == (b"#!/bin/sh\n#MGPU -G 2\n", [b"x"], 2)
    given(b"#!/bin/sh\n")
    assert run(sbatch) == 0
    assert spec(server)["script_name"] == "stdin"


def test_standard_input_that_is_no_script(run: Run, given: Given, capsys: Capture) -> None:
    given(b"true\n")
    assert run(srun, "-") == 2
    assert "standard input is no script: it does not begin with #!" in capsys.readouterr().err


def test_sbatch(run: Run, server: FakeServer, capsys: Capture) -> None:
    path = script("#SBATCH --mem=1G -c2", "#MGPU --mem 3G")
    assert run(sbatch, "--mem", "2G", "-N1", "-G", "1", path, "x") == 0
    sent = spec(server)
    assert (sent["host_mem"], sent["gpu_mem"], sent["cpus"]) == (2048, 3072, 2)
    assert capsys.readouterr().out == "Submitted job 42\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["true"], '"true" cannot be read: No such file or directory; mgpu_srun runs commands'),
        (["./plain"], '"./plain" does not begin with #!; mgpu_srun runs commands'),
        (["./folder"], '"./folder" is no regular file; mgpu_srun runs commands'),
        (["--tmp=10G", "./job.sh"], "--tmp is of sbatch, but mgpu has no such thing: disks are"),
        (["--exclusive", "./job.sh"], "--exclusive is of sbatch, but mgpu has no such thing"),
        (["-N", "2", "./job.sh"], "Invalid value for '-N' / '--nodes': \"2\": a job of mgpu"),
    ],
)
def test_what_sbatch_refuses(args: list[str], words: str, run: Run, capsys: Capture) -> None:
    Path(script()).with_name("plain").write_text("echo\n")
    Path("folder").mkdir()
    assert run(sbatch, *args) == 2
    said = capsys.readouterr().err
    assert said.startswith("Usage: mgpu_sbatch [OPTIONS] SCRIPT [ARGUMENT]...\n")
    assert words in said


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("-n4", "-n is of srun, but mgpu has no such thing: leave it away"),
        ("-pgpu", "-p is of srun, but mgpu has no such thing: leave it away"),
        ("--mem-per-gpu=3G", "--mem-per-gpu is of srun, but mgpu has no such thing: say --mem,"),
        ("--account=a", "--account is of srun, but mgpu has no such thing: say --project"),
        ("-l", "-l is of srun, but mgpu has no such thing: a job is one task"),
        ("--comment=x", "--comment is of srun, but mgpu has no such thing: there are no comments"),
        ("--bogus", "No such option '--bogus'"),
    ],
)
def test_options_of_slurms_srun_are_refused_with_what_to_do(
    option: str, hint: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    assert run(srun, option, "true") == 2
    assert hint in capsys.readouterr().err
    assert not server.requests


def test_sbatch_has_variables_of_its_own(run: Run, server: FakeServer, monkeypatch: Patch) -> None:
    monkeypatch.setenv("MGPU_SRUN_GPUS", "5")
    monkeypatch.setenv("MGPU_SBATCH_MEM", "1G")
    assert run(sbatch, script()) == 0
    assert (spec(server)["gpus"], spec(server)["host_mem"]) == (1, 1024)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"at": 5.0, "gpus": [0, 1], "after": "", "reason": ""}, "It would start now on gpu0,gpu1"),
        ({"at": 5.0, "gpus": [], "after": "", "reason": ""}, "It would start now"),
        (
            {"at": 1767323045.0, "gpus": [1], "after": "7", "reason": "Resources", "detail": "x"},
            "It would start at 2026-01-02T03:04:05 on gpu1 after job 7: Resources: x",
        ),
        ({"reason": "JobHeldUser"}, "It would wait, and no start is known: JobHeldUser"),
    ],
)
def test_a_test_says_when_it_would_start(
    told: dict[str, Any], line: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = lambda _: [{"ok": {"now": 5.0, "detail": "", **told}}]
    assert run(srun, "--test-only", "true") == 0
    assert capsys.readouterr().out == f"{line}\n"
    assert [(request["op"], request["dry"]) for request in server.requests] == [("submit", True)]


def test_recurring_jobs_are_not_tested(run: Run, capsys: Capture) -> None:
    assert run(srun, "--test-only", "--cron", "0 2 * * *", "true") == 2
    assert "--test-only and --cron cannot be used together" in capsys.readouterr().err


def test_a_dry_run_asks_nothing_and_keeps_values_to_itself(
    run: Run, server: FakeServer, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    assert run(srun, "--dry-run", "-G", "2", "true", "x") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["gpus"], told["argv"], "TOKEN" in told["env"]) == (2, ["true", "x"], True)
    assert "secret" not in str(told)
    assert not server.requests
