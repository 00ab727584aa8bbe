"""mgpu_cancel, mgpu_info, the mgpu group, help, and how a command starts and ends."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mgpu.cli import base, columns
from mgpu.cli.cancel import cancel
from mgpu.cli.ctl import ctl
from mgpu.cli.ctl_gpu import drain, gpu, resume, set_gpus, show_gpus
from mgpu.cli.ctl_quota import quota
from mgpu.cli.ctl_reserve import reserve
from mgpu.cli.info import info
from mgpu.cli.job import job as job_group
from mgpu.cli.job_history import history
from mgpu.cli.job_log import log
from mgpu.cli.job_show import show
from mgpu.cli.main import COMMANDS, TASKS, group, programs
from mgpu.cli.queue import queue
from mgpu.cli.sbatch import sbatch
from mgpu.cli.srun import srun
from mgpu.cli.top import top
from tests.lib.fake_server import FakeServer, Message
from tests.lib.golden import Golden
from tests.unit.cli.conftest import Run, job, listing

Capture = pytest.CaptureFixture[str]
ALL = {"srun": srun, "queue": queue, "cancel": cancel, "info": info, "group": group, "ctl": ctl}
ALL |= {"sbatch": sbatch}
ALL |= {"top": top}
ALL |= {f"ctl_reserve_{word}": command for word, command in reserve.commands.items()}
ALL |= {f"ctl_gpu_{word}": command for word, command in gpu.commands.items()}
ALL |= {"ctl_drain": drain, "ctl_resume": resume}
ALL |= {"ctl_set_gpus": set_gpus, "ctl_show_gpus": show_gpus}
ALL |= {f"ctl_quota_{word}": command for word, command in quota.commands.items()}


def test_cancel(run: Run, server: FakeServer, golden: Golden, capsys: Capture) -> None:
    outcomes = ["cancelled", "cancelling", "ended", "unknown"]
    rows = [[number, outcome] for number, outcome in enumerate(outcomes, 3)]
    server.answer = lambda _: [{"ok": {"jobs": rows}}]
    assert run(cancel, "3-5", "6,3") == 1
    assert server.requests == [{"op": "cancel", "jobs": [3, 4, 5, 6]}]
    captured = capsys.readouterr()
    golden.check("cli/cancel.txt", captured.out)
    assert captured.err.endswith(": error: job 6: unknown, or not yours\n")


def test_a_repeated_cancel_is_harmless(run: Run, server: FakeServer) -> None:
    server.answer = lambda _: [{"ok": {"jobs": [[3, "ended"]]}}]
    assert run(cancel, "3") == 0


@pytest.mark.parametrize(
    ("uid", "args", "name"),
    [(0, [], "admin.sock"), (1000, [], "mgpu.sock"), (1000, ["--admin"], "admin.sock")],
)
def test_cancel_as_administrator(
    uid: int, args: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MGPU_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    done: Message = {"ok": {"jobs": [[3, "cancelled"]]}}
    with FakeServer(tmp_path / name, lambda _: [done]) as server:
        assert base.status_of(cancel, [*args, "3"]) == 0
    assert server.requests == [{"op": "cancel", "jobs": [3]}]


@pytest.mark.parametrize(
    ("uid", "args", "name"),
    [(0, [], "admin.sock"), (1000, [], "mgpu.sock"), (1000, ["--admin"], "admin.sock")],
)
def test_the_queue_as_administrator(
    uid: int, args: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MGPU_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    with FakeServer(tmp_path / name, listing(job(id=3))) as server:
        assert base.status_of(queue, args) == 0
    assert server.requests[0]["op"] == "jobs"


@pytest.mark.parametrize("command", [history, log, show], ids=["history", "log", "show"])
@pytest.mark.parametrize(("uid", "name"), [(0, "admin.sock"), (1000, "mgpu.sock")])
def test_root_looks_at_jobs_as_an_administrator(
    command: click.Command, uid: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MGPU_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    with FakeServer(tmp_path / name, lambda _: [{"ok": {"rows": []}}]) as server:
        base.status_of(command, ["3"])
    assert server.requests[0]["jobs"] == [3]


@pytest.mark.parametrize("name", ALL)
def test_help(name: str, golden: Golden, capsys: Capture) -> None:
    assert base.status_of(ALL[name], ["--help"]) == 0
    golden.check(f"cli/help_{name}.txt", capsys.readouterr().out)


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_is_described(name: str) -> None:
    command = ALL[name]
    assert command.help
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None)


def test_the_letters_are_in_the_help() -> None:
    assert queue.help
    letters = queue.help.split("Letters of --format:")[1].replace("\n", " ")
    words = letters.replace(",", " ").split()
    undocumented = set(columns.COLUMNS) - set(words) - {"A", "F", "p"}  # other names of i and Q
    assert undocumented == set()


@pytest.mark.parametrize("word", COMMANDS)
def test_the_group_knows_each_command(word: str, capsys: Capture) -> None:
    assert base.status_of(group, [word, "--help"]) == 0
    assert f"mgpu {word}" in capsys.readouterr().out


def test_the_help_of_all_commands_is_one_screen(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert base.status_of(group, ["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_what_the_help_teaches_is_right(task: tuple[str, str], capsys: Capture) -> None:
    program, *words = shlex.split(task[1])
    own = words[: words.index("--")] if "--" in words else words
    command: click.Command = group
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), own.pop(0))
        assert found is not None
        command = found
    known = {word for one in command.params for word in (*one.opts, *one.secondary_opts)}
    assert program == "mgpu"
    assert {word for word in own if word.startswith("-")} <= known


@pytest.mark.parametrize("args", [["cron", "lst"], ["show2"]])
def test_groups_within_tell_the_nearest_too(args: list[str], capsys: Capture) -> None:
    assert base.status_of(job_group, args) == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("mgpu_info", "did you mean info?"),
        ("scancel", "did you mean cancel?"),
        ("list", "there is no command 'list'"),
        ("quue", "did you mean queue?"),
        ("xyz", "known are srun, sbatch, queue"),
    ],
)
def test_an_unknown_word_is_an_error(word: str, message: str, capsys: Capture) -> None:
    assert base.status_of(group, [word, "arg"]) == 2
    assert message in capsys.readouterr().err


def test_nobody_there(tmp_path: Path, golden: Golden, capsys: Capture) -> None:
    assert base.status_of(queue, ["--socket", str(tmp_path / "none")]) == 69
    golden.check("cli/unreachable.txt", capsys.readouterr().err.replace(str(tmp_path), "DIR"))


HEAVY = ["asyncio", "subprocess", "sqlite3", "json", "tomllib", "resource", "difflib", "shutil"]
HEAVY += ["rich", "tomlkit", "pynvml", "psutil", "croniter", "mgpu.protocol.fields"]
HEAVY += ["dataclasses", "mgpu.model.tasks"]


def program(code: str, *args: str) -> list[str]:
    """The argument list of a Python that runs ``code``."""
    return [sys.executable, "-c", code, *args]


def test_a_listing_imports_only_what_it_needs(server: FakeServer) -> None:
    server.answer = listing(job())
    code = (
        "import sys; from mgpu.cli import base, queue;"
        "status = base.status_of(queue.queue, sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], status, file=sys.stderr)"
    )
    done = subprocess.run(
        program(code, "--socket", server.path), capture_output=True, text=True, check=True
    )
    assert done.stderr == "[] 0\n"


#: What the help of a command does without: together longer to load than all of click.
HELP_WITHOUT = {*HEAVY, "socket", "msgpack", "zoneinfo", "pathlib", "mgpu.client", "mgpu.config"}


@pytest.mark.parametrize("name", [*programs(), "mgpud"])
def test_the_help_of_a_program_imports_only_what_it_needs(name: str) -> None:
    module = "main" if name == "mgpu" else name.removeprefix("mgpu_")
    code = (
        f"import os, sys; sys.argv[0] = {name!r};"
        "os._exit = sys.exit;"  # so that the next line is reached
        "import atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        f"from mgpu.cli.{module} import main; main()"
    )
    done = subprocess.run(program(code, "--help"), capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: {name} [OPTIONS]")
    assert HELP_WITHOUT.isdisjoint(done.stderr.split())


#: The same of the words within a command, some of which need a little more.
WORDS_WITHOUT = HELP_WITHOUT - {"json", "dataclasses", "mgpu.model.tasks"}
WORDS_WITHOUT -= {"socket", "msgpack", "mgpu.client"}
HELP_OF_ALL = """
import sys, click
from mgpu.cli import base
def walk(command, words):
    base.status_of(program, [*words, "--help"])
    if isinstance(command, click.Group):
        for word in command.list_commands(click.Context(command)):
            walk(command.get_command(click.Context(command), word), [*words, word])
from mgpu.cli.{module} import {name} as program
walk(program, [])
print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("module", "name"), [("job", "job"), ("ctl", "ctl"), ("mgpud", "main"), ("completion",) * 2]
)
def test_the_help_of_words_imports_only_what_it_needs(module: str, name: str) -> None:
    code = HELP_OF_ALL.format(module=module, name=name)
    done = subprocess.run(program(code), capture_output=True, text=True, check=True)
    assert done.stdout.count("Usage: ") > (0 if module == "completion" else 3)
    assert WORDS_WITHOUT.isdisjoint(done.stderr.split())


RUN_QUEUE = "from mgpu.cli.queue import main; main()"


@pytest.mark.parametrize("count", [1, 5000])
def test_a_closed_pipe_is_quiet(count: int, server: FakeServer) -> None:
    server.answer = listing(*[job(id=number) for number in range(1, count + 1)])
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        program(RUN_QUEUE, "--socket", server.path),
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("count", [1, 5000])
def test_a_full_disk_is_said(count: int, server: FakeServer) -> None:
    server.answer = listing(*[job(id=number) for number in range(1, count + 1)])
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            program(RUN_QUEUE, "--socket", server.path),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"cannot write the output: No space left on device" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_narrow_encoding_loses_nothing(server: FakeServer) -> None:
    server.answer = listing(job(name="größe"))
    done = subprocess.run(
        program(RUN_QUEUE, "--socket", server.path),
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert b"gr\\xf6\\xdfe" in done.stdout
