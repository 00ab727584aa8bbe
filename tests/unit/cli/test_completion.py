"""Real shells complete the commands, with what a scheduler says that there is."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from mgpu.cli.base import COMPLETION
from mgpu.cli.cancel import cancel
from mgpu.cli.complete import LINE, answer
from mgpu.cli.completion import SCRIPTS
from mgpu.cli.main import programs
from mgpu.protocol.names import JOB_FIELDS
from tests.lib.fake_server import FakeServer, Message
from tests.unit.cli.conftest import job, listing

ROOT = Path(__file__).resolve().parents[3]
SHELLS = ("bash", "zsh", "fish")
START = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "-i"],
}
FIRST = {
    "bash": "PS1='ready> '; bind 'set enable-bracketed-paste off'; ",
    "zsh": "PS1='ready> '; autoload -Uz compinit; compinit -u -D; unsetopt zle_bracketed_paste; ",
    "fish": "function fish_prompt; echo -n 'ready> '; end; ",
}
LOAD = {
    "bash": 'eval "$(mgpu completion bash)"',
    "zsh": 'eval "$(mgpu completion zsh)"',
    "fish": "mgpu completion fish | source",
}
JOBS = [
    job(id=421, name="train", user="alice", project="vision", qos="urgent"),
    job(id=435, name="$(reboot)", user="bob", project="$(reboot)", state="RUNNING"),
    job(id=450, name=None, user=None, mine=False),
]
ENDED = [
    job(id=399, state="FAILED"),
    job(id=401, array=400, tasks="3", state="COMPLETED"),
]
MINE, STATE = map(JOB_FIELDS.index, ("mine", "state"))
GPUS = [{"index": 0, "name": "NVIDIA A100"}, {"index": 1, "name": "NVIDIA H200"}]


def scheduler(request: Message) -> Iterable[Message]:
    if request["op"] == "jobs":
        states = request.get("states")
        rows = ENDED + JOBS if request.get("ended") or states else JOBS
        rows = [row for row in rows if row[MINE]] if request["scope"] == "me" else rows
        if isinstance(states, list):
            rows = [row for row in rows if row[STATE] in states]
        yield from listing(*rows)(request)
    elif request["op"] == "logs":
        assert request["terminal"]
        assert request["jobs"] == [421, 435]
        yield {"ok": {"rows": [{"id": 435}]}}
    elif request["op"] == "info":
        yield {"ok": {"gpus": GPUS, "classes": ["normal", "urgent"]}}
    elif request["op"] == "reservations":
        yield {"ok": {"reservations": [{"id": 7, "name": "demo", "start": 0.0}]}}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterable[Path]:
    """A folder with all programs first on the path, where a scheduler listens."""
    for program in programs():
        module = program.removeprefix("mgpu_") if program != "mgpu" else "main"
        file = tmp_path / program
        file.write_text(f"#!{sys.executable}\nfrom mgpu.cli.{module} import main\nmain()\n")
        file.chmod(0o755)
    config = tmp_path / "config.toml"
    config.write_text(f'[access]\nservice_user = "{pwd.getpwuid(os.getuid()).pw_name}"\n')
    for name, value in {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "MGPU_CONFIG": str(config),
        "MGPU_RUNTIME_DIR": str(tmp_path),
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with FakeServer(tmp_path / "mgpu.sock", scheduler):
        yield tmp_path


def completed(shell: str, line: str) -> str:
    """The line as the shell completes it."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    child: Any = pexpect.spawn(
        program, START[shell], encoding="utf-8", timeout=30, dimensions=(40, 200)
    )
    try:
        child.sendline(FIRST[shell] + LOAD[shell] + "; echo load''ed")
        child.expect("loaded")
        child.send(line + "\t\x01echo '<'\x05'>'\r")
        child.expect(r"\n<(.*)>\r?\n")
        return str(child.match[1])
    finally:
        child.close(force=True)


def words(line: str, shell: str = "bash") -> list[str]:
    """What a shell is told that ``line`` may go on with: values, or kinds of others."""
    program = line.split()[0]
    environment = os.environ | {COMPLETION: shell, LINE: line}
    done = subprocess.run([program], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    items = [row.split("\t") for row in done.stdout.splitlines() if row]
    return [item[1] if item[0] == "plain" else " ".join(filter(None, item[:2])) for item in items]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("mgpu ca", ["cancel"]),
        ("mgpu job hol", ["hold"]),
        ("mgpu_job hol", ["hold"]),
        ("mgpu_queue --proj", ["--project"]),
        ("mgpu_queue --group us", ["user"]),
        ("mgpu_queue --jobs ", ["421", "435", "450"]),
        ("mgpu_queue --jobs 421,43", ["421,435"]),
        ("mgpu_queue --user ", ["alice", "bob"]),
        ("mgpu_queue --user=al", ["alice"]),
        ("mgpu_queue --state pend", ["PENDING"]),
        ("mgpu_queue --qos ", ["normal", "urgent"]),
        ("mgpu_srun --gpus ", ["1", "2", "a100:1", "h200:1"]),
        ("mgpu_srun --gpus a100:", ["1"]),
        ("mgpu_srun --gpu-type h", ["h200"]),
        ("mgpu_srun --signal USR1", ["USR1"]),
        ("mgpu_srun --chdir ", ["dir"]),
        ("mgpu_ctl drain gpu1", ["gpu1"]),
        ("mgpu_job s", ["show", "signal"]),
        ("mgpu_job hi", ["history"]),
        ("mgpu_job en", ["env"]),
        ("mgpu_job at", ["attach"]),
        ("mgpu_job re", ["redo", "release"]),
        ("mgpu_job history ", ["399", "400_3", "421", "435"]),
        ("mgpu_job env ", ["399", "400_3", "421", "435"]),
        ("mgpu_job hold ", ["421"]),
        ("mgpu_ctl release ", ["421"]),
        ("mgpu_job show ", ["399", "400_3", "421", "435"]),
        ("mgpu_job signal ", ["435"]),
        ("mgpu_job signal 435 ", ["435", "HUP"]),
        ("mgpu_job signal 435 us", ["USR1", "USR2"]),
        ("mgpu_job redo ", ["399", "400_3"]),
        ("mgpu_job log ", ["399", "400_3", "421", "435"]),
        ("mgpu_stats --jobs ", ["399", "400", "421", "435"]),
        ("mgpu_stats --user ", ["alice", "bob"]),
        ("mgpu_stats --by us", ["user"]),
        ("mgpu_stats --state complete", ["COMPLETED"]),
        ("mgpu_top --int", ["--interval"]),
        ("mgpu_top --socket ", ["file"]),
        ("mgpu_ctl reserve show ", ["7"]),
        ("mgpu_srun --gpus 1 -- l", ["command 4"]),
        ("mgpu_srun --mem=8G ls --si", ["command 4"]),
        ("mgpu srun ls ", ["command 2"]),
        ("mgpu nonsense ", ["srun"]),
    ],
)
def test_lines_go_on(line: str, known: list[str]) -> None:
    assert words(line)[: len(known)] == known


@pytest.mark.usefixtures("place")
def test_only_jobs_with_a_terminal_are_offered_to_attach_to() -> None:
    assert words("mgpu_job attach ") == ["435"]


@pytest.mark.parametrize(("uid", "known"), [(1000, ["421", "435"]), (0, ["421", "435", "450"])])
def test_jobs_to_act_on_are_ones_own(
    uid: int,
    known: list[str],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setenv(COMPLETION, "fish")
    monkeypatch.setenv(LINE, "mgpu_cancel ")
    for parameter in cancel.params:  # as of a process of its own, which ends then
        monkeypatch.setattr(parameter, "type", parameter.type)
    answer(cancel)
    assert [row.split("\t")[1] for row in capsys.readouterr().out.splitlines()] == known


def test_no_name_of_others_becomes_a_command(place: Path) -> None:
    assert words("mgpu_queue --project ") == ["vision"]


def test_whole_words_are_replaced_outside_bash(place: Path) -> None:
    assert words("mgpu_queue --user=al", "zsh") == ["--user=alice"]
    assert words("mgpu_srun --gpus a100:", "fish") == ["a100:1"]


def test_without_a_scheduler_nothing_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGPU_RUNTIME_DIR", str(place / "nowhere"))
    assert words("mgpu_cancel ") == []
    assert words("mgpu_queue --qo") == ["--qos"]


def test_an_unknown_shell_is_told_nothing(place: Path) -> None:
    assert words("mgpu_queue --qo", "tcsh") == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("mgpu_queue --jobs 43", "mgpu_queue --jobs 435"),
        ("mgpu_queue --user=al", "mgpu_queue --user=alice"),
        ("mgpu_srun --gpus h200:", "mgpu_srun --gpus h200:1"),
        ("mgpu_srun --gpus=1 -- my-ow", "mgpu_srun --gpus=1 -- my-own-tool"),
        ("mgpu_srun cat data-", "mgpu_srun cat data-file"),
        ("mgpu job rele", "mgpu job release"),
        ("mgpu_job hist", "mgpu_job history"),
        ("mgpu_job redo 39", "mgpu_job redo 399"),
        ("mgpu job signal 435 USR2", "mgpu job signal 435 USR2"),
        ("mgpu_stats --jobs 40", "mgpu_stats --jobs 400"),
    ],
)
def test_shells_complete(shell: str, typed: str, line: str, place: Path) -> None:
    script = place / "my-own-tool"
    script.touch()
    script.chmod(0o755)
    (place / "data-file").touch()
    assert completed(shell, typed).strip() == line


def test_every_program_is_completed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(programs()) == set(project["scripts"])
    assert set(SCRIPTS) == set(SHELLS)
