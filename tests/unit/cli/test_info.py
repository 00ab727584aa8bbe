"""mgpu_info: the screen of several machines, JSON, the links, and the screen that stays."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mgpu.cli import watch
from mgpu.cli.info import info
from mgpu.cli.info_screen import screen
from mgpu.client import Client
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, Run

Capture = pytest.CaptureFixture[str]
Known = dict[str, Any]


def gpu(index: int, name: str = "NVIDIA A100-SXM4-80GB", **known: Any) -> Known:
    """A GPU with nothing on it."""
    empty: Known = {
        "index": index,
        "uuid": f"GPU-{index:08}",
        "name": name,
        "capability": "8.0",
        "bus": f"00000000:{index:02}:00.0",
        "card": "",
        "total": 81920,
        "used": 0,
        "outside": 0,
        "reserved": 0,
        "free": 81920,
        "utilization": 0,
        "temperature": 31,
        "power": 57,
        "power_limit": 400,
        "available": True,
        "state": "available",
        "note": "",
        "jobs": [],
        "outsiders": [],
        "reservations": [],
    }
    assert known.keys() <= empty.keys()
    return empty | known


def outsider(pid: int, **known: Any) -> Known:
    """A process of root outside mgpu, of which nothing else is known."""
    told = {"pid": pid, "uid": 0, "memory": None, "since": None, "job": 0, "ignored": False}
    return {**told, "over": True, **known}


def machine(*gpus: Known, **known: Any) -> Known:
    empty: Known = {
        "backend": "nvml",
        "version": "0.1.0",
        "now": MOMENT,
        "driver": "570.124.06",
        "age": 2.5,
        "gpus": list(gpus),
        "topology": [],
        "pending": 0,
        "running": 0,
        "host": {"cpus": 64, "cpus_reserved": 0, "memory": 515000, "memory_reserved": 0},
        "next": None,
    }
    return empty | known


SIMULATED = machine(
    *[gpu(index, "Sim A", capability="", total=16384, free=16384) for index in (0, 1)],
    backend="simulated",
    driver="",
) | {"topology": [["SELF", "NVLINK"], ["NVLINK", "SELF"]]}
for one in SIMULATED["gpus"]:
    one |= dict.fromkeys(("utilization", "temperature", "power", "power_limit"), -1)

BUSY = machine(
    gpu(
        0, used=61234, reserved=56000, free=20686, utilization=100, temperature=71, power=398,
        jobs=[[7, "alice", 40000, 3723.5, "RUNNING", 45234, 0, ""],
              [8, "bob", 16000, 65, "COMPLETING", 16000, 42, "3"]],
    ),
    gpu(1, used=80100, free=0, utilization=97, power=401, jobs=[
        [9, "a-name-of-thirty-two-characters-x", None, 183845, "RUNNING", 79900, 0, ""]]),
    gpu(2, free=0, jobs=[[10, "carol", None, 0, "RUNNING", None, 0, ""]]),
    gpu(3, reservations=[[3, 7200.0, 10800.0], [4, 90000.0, 93600.0]]),
    gpu(4, "NVIDIA H100 PCIe", capability="9.0", reservations=[[5, 0.0, 1800.0]]),
    pending=12,
    running=5,
    next={"id": 42, "array": 0, "tasks": "", "user": "ada", "gpus": [0, 1], "in": 7200.0,
          "after": 9},
    host={"cpus": 64, "cpus_reserved": 8, "memory": 515000, "memory_reserved": 2048},
)  # fmt: skip

FAULTY = machine(
    gpu(0, available=False, state="drained", note="drained: fan is \x1b[31mloud"),
    gpu(1, available=False, state="fault", note="drained: Xid 79, the GPU has fallen off the bus"),
    gpu(2, available=False, state="unknown", note="the GPU driver does not answer: "
        "nvmlDeviceGetMemoryInfo has not come back for 10 s", utilization=-1, temperature=-1,
        power=-1),
    gpu(3, state="cleaning", note="pid 4242 of job 6 still there", used=300,
        outsiders=[outsider(4242, job=6, memory=300, uid=4200001)]),
    gpu(4, available=False, state="dirty", note="dirty: 300 MiB in use after the end of job 6"),
    gpu(5, available=False, state="restricted", note="not among the GPUs that mgpu may use"),
    pending=1,
    age=75.0,
    next={"id": 43, "array": 43, "tasks": "0-9", "user": "evil\x07", "gpus": [], "in": None,
          "after": 7},
)  # fmt: skip

MIG = machine(
    gpu(0, "NVIDIA A100-SXM4-80GB MIG 3g.40gb", total=40192, free=0, card="GPU-aaaabbbbcccc",
        utilization=-1, power=-1, power_limit=-1, used=700,
        jobs=[[7, "alice", None, 100, "RUNNING", 660, 0, ""]]),
    gpu(1, "NVIDIA A100-SXM4-80GB MIG 3g.40gb", total=40192, free=40192, card="GPU-aaaabbbbcccc",
        utilization=-1, power=-1, power_limit=-1),
    gpu(2, "evil\x1b[2J"),
    running=1,
)  # fmt: skip

OUTSIDERS = machine(
    gpu(0, used=9524, outside=9524, free=72396, outsiders=[
        outsider(4242, memory=9000, since=MOMENT - 12000, uid=4200001),
        outsider(1200, memory=500, since=MOMENT - 900000, ignored=True),
        outsider(4260, job=7, over=False, memory=24, uid=0),
    ]),
    gpu(1, used=300, outside=300, free=81620),
    gpu(2, used=300, outside=300, free=81620, outsiders=[outsider(4250, uid=None)]),
)  # fmt: skip

MACHINES = {
    "simulated": SIMULATED,
    "busy": BUSY,
    "faulty": FAULTY,
    "mig": MIG,
    "outsiders": OUTSIDERS,
    "none": machine(),
}


@pytest.mark.parametrize("name", MACHINES)
def test_screen(name: str, run: Run, server: FakeServer, golden: Golden, capsys: Capture) -> None:
    server.answer = lambda _: [{"ok": MACHINES[name]}]
    assert run(info) == 0
    golden.check(f"cli/info_{name}.txt", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "args"), [("json", ["--json"]), ("topology", ["--topology"]), ("unlinked", [])]
)
def test_other_outputs(
    name: str, args: list[str], run: Run, server: FakeServer, golden: Golden, capsys: Capture
) -> None:
    shown = BUSY if name == "json" else SIMULATED
    server.answer = lambda _: [{"ok": shown if args else MIG}]
    assert run(info, *(args or ["--topology"])) == 0
    out = capsys.readouterr().out
    if name == "unlinked":
        assert out == "It is not known how the GPUs reach each other.\n"
    else:
        golden.check(f"cli/info_{name}.txt", out)


@pytest.mark.parametrize("told", [BUSY, OUTSIDERS])
def test_json_is_all_that_is_told(
    told: Known, run: Run, server: FakeServer, capsys: Capture
) -> None:
    server.answer = lambda _: [{"ok": told}]
    run(info, "--json")
    assert json.loads(capsys.readouterr().out) == told


@pytest.mark.parametrize(("listed", "more"), [(30, "27 more"), (32, "29 or more")])
def test_many_processes_of_others_do_not_fill_the_screen(
    listed: int, more: str, run: Run, server: FakeServer, capsys: Capture
) -> None:
    crowd = [outsider(100 + number, memory=10) for number in range(listed)]
    server.answer = lambda _: [{"ok": machine(gpu(0, outside=300, outsiders=crowd))}]
    run(info)
    below = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" ")]
    assert len(below) == 4
    assert below[-1].strip() == f"and {more}: mgpu_info --json names them"


@pytest.mark.parametrize("name", MACHINES)
def test_a_terminal_of_80_columns_is_wide_enough(name: str, golden: Golden) -> None:
    lines = screen(MACHINES[name], lambda uid: f"u{uid}", 80)
    assert max(map(len, lines)) <= 80
    assert all(line.isprintable() for line in lines)
    golden.check(f"cli/info_{name}_80.txt", "\n".join(lines) + "\n")


def test_an_older_scheduler_says_less(run: Run, server: FakeServer, capsys: Capture) -> None:
    known: Known = {
        "index": 0,
        "uuid": "GPU-1",
        "name": "Old",
        "total": 8192,
        "outside": 100,
        "reserved": 0,
        "free": 0,
    }
    known |= {"available": True, "note": "", "jobs": [[7, "alice", 8000, 5.0, "RUNNING"]]}
    old = {"backend": "nvml", "version": "0", "gpus": [known], "pending": 0, "running": 1}
    server.answer = lambda _: [{"ok": old}]
    assert run(info) == 0
    out = capsys.readouterr().out
    assert "job 7 of alice for 0:05, 8000M reserved\n" in out
    assert "100M used outside mgpu" in out
    with Client(server.path) as client:
        assert client.info().gpus[0].jobs[0].used is None


def test_the_library_gives_all_of_it_too(server: FakeServer) -> None:
    server.answer = lambda _: [{"ok": BUSY}]
    with Client(server.path) as client:
        seen = client.info()
    assert seen.gpus[0].jobs[1][5:] == (16000, 42, "3")
    assert (seen.gpus[0].used, seen.gpus[0].utilization, seen.driver) == (61234, 100, "570.124.06")
    assert seen.next == BUSY["next"]


# -- the screen that stays -------------------------------------------------------------------------


class Patience:
    """Waits as often as it is told to, then the user interrupts."""

    def __init__(self, times: int) -> None:
        self.waited: list[float] = []
        self._times = times

    def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)
        if len(self.waited) == self._times:
            raise KeyboardInterrupt


Terminal = Callable[[int, int], None]
Calm = Callable[[Patience], None]


@pytest.fixture
def be_patient(monkeypatch: pytest.MonkeyPatch) -> Calm:
    """Have no time pass between two screens."""
    return lambda patience: monkeypatch.setattr(watch, "pause", patience)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard output a terminal of so many columns and lines."""

    def become(columns: int, lines: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))

    return become


def test_elsewhere_it_is_printed_again(capsys: Capture, be_patient: Calm) -> None:
    patience, frames = Patience(2), iter(["one", "two"])
    be_patient(patience)
    watch.watch(lambda width: [next(frames), str(width)], 5)
    assert capsys.readouterr().out == "one\n0\n\ntwo\n0\n\n"
    assert patience.waited == [5, 5]


def test_a_terminal_is_written_over_and_given_back(
    capsys: Capture, terminal: Terminal, be_patient: Calm
) -> None:
    terminal(100, 30)
    frames = iter(["one", "two"])
    be_patient(Patience(2))
    watch.watch(lambda width: [next(frames), str(width)], 5)
    out = capsys.readouterr().out
    assert out == (
        "\x1b[?1049h\x1b[?25l"
        "\x1b[Hone\x1b[K\n100\x1b[K\x1b[J"
        "\x1b[Htwo\x1b[K\n100\x1b[K\x1b[J"
        "\x1b[?25h\x1b[?1049l"
    )


def test_what_does_not_fit_is_counted(
    capsys: Capture, terminal: Terminal, be_patient: Calm
) -> None:
    terminal(80, 4)
    be_patient(Patience(1))
    watch.watch(lambda _: [*"abcdef"], 5)
    out = capsys.readouterr().out
    assert "c\x1b[K\n... and 3 more lines\x1b[K\x1b[J" in out
    assert "d\x1b[K" not in out


def test_an_error_gives_the_terminal_back(
    capsys: Capture, terminal: Terminal, be_patient: Calm
) -> None:
    terminal(80, 24)
    frames = iter(["one"])
    be_patient(Patience(2))
    with pytest.raises(StopIteration):
        watch.watch(lambda _: [next(frames)], 5)
    assert capsys.readouterr().out.endswith("\x1b[?25h\x1b[?1049l")


@pytest.mark.parametrize(
    ("args", "seconds"), [(["--watch"], 2), (["--watch", "10"], 10), (["--watch", "--json"], 2)]
)
def test_how_often_can_be_said(
    args: list[str],
    seconds: int,
    run: Run,
    server: FakeServer,
    be_patient: Calm,
    capsys: Capture,
) -> None:
    patience = Patience(3)
    be_patient(patience)
    server.answer = lambda _: [{"ok": SIMULATED}]
    assert run(info, *args) == 0
    assert (len(server.requests), server.connections) == (3, 1)
    assert patience.waited == [seconds] * 3


def test_a_reader_that_goes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        watch.pause(3600)


@pytest.mark.parametrize("value", ["0", "x", "3601"])
def test_a_pause_that_makes_no_sense_is_refused(value: str, run: Run) -> None:
    assert run(info, "--watch", value) == 2
