"""mgpu_top's screen, at two sizes, without colour."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from mgpu.cli.top_state import Action, History, State, jobs, settled
from mgpu.cli.top_view import Known, Size, screen
from mgpu.protocol.names import JOB_FIELDS
from tests.lib.golden import Golden
from tests.unit.cli.conftest import MOMENT, job
from tests.unit.cli.test_info import gpu, machine

HELD = [[7, "ada", 40000, 3723.5, "RUNNING", 45234, 0, ""]]
GPUS = [
    gpu(0, used=61234, utilization=100, temperature=71, power=398, jobs=HELD),
    gpu(1, used=20480, utilization=42, temperature=55, power=210, jobs=[*HELD, *HELD]),
    gpu(2, available=False, state="drained", utilization=-1, temperature=-1, power=-1),
    gpu(3),
]
HISTORY: History = {
    0: tuple(min(100, 9 * n) for n in range(40)), 1: (0, 90, 10, -1, 50, 42), 2: (-1, -1),
}  # fmt: skip
RUNNING = [
    job(id=7, user="ada", state="RUNNING", elapsed=3723.5, gpu_ids=[0], gpu_mem=40000,
        time_limit=7200, command="python train.py --epochs 90", peak=[[0, 45234]],
        attempt=3, restarts=2),
    job(id=8, array=8, tasks="3", user="bob", state="COMPLETING", elapsed=65.0, gpu_ids=[1]),
]  # fmt: skip
WAITING = [
    job(id=9, array=8, tasks="4-99", max_concurrent=4, user="bob", reason="Priority"),
    job(id=10, name=None, user="carol", command=None, cwd=None, mine=False, gpus=2, cpus=8,
        reason="Resources", detail="needs 2 GPUs; free: gpu1"),
    job(id=11, name="größe\x1b[31m", reason="JobHeldUser", note="evil\x07 note"),
]  # fmt: skip
MANY = [job(id=number, name=f"train{number}") for number in range(20, 320)]
LOG = [f"epoch {number}" for number in range(40)]
WHY = ["It needs 2 GPUs, and 1 is free.", "gpu0 is held by job 7 for another 57:56."]


def known(*rows: list[Any], gpus: list[Any] = GPUS, why: list[str] = WHY) -> Known:
    states = [row[JOB_FIELDS.index("state")] for row in rows]
    counts = {"running": states.count("RUNNING"), "pending": states.count("PENDING")}
    return Known(machine(*gpus, **counts), jobs(rows), why, HISTORY, MOMENT, LOG)


def drawn(shown: Known, state: State, size: Size) -> str:
    console = Console(width=size.width, height=size.height or 100, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(screen(shown, settled(state, shown.jobs), size))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


SIZES = {"100x30": Size(100, 30), "80x24": Size(80, 24)}
USUAL = known(*RUNNING, *WAITING)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "shown", "state"),
    [
        ("running", USUAL, State(chosen=7)),
        ("waiting", USUAL, State(chosen=10)),
        ("asks", USUAL, State(chosen=7, asked=Action("cancel", 7))),
        ("many", known(*RUNNING, *MANY), State(chosen=200, message="Held job 200")),
        ("nothing", known(gpus=[], why=[]), State()),
        ("hostile", USUAL, State(chosen=11)),
        ("log", USUAL, State(chosen=7, log=True)),
    ],
)
def test_the_screen(name: str, size: str, shown: Known, state: State, golden: Golden) -> None:
    text = drawn(shown, state, SIZES[size])
    assert text.count("\n") == SIZES[size].height
    golden.check(f"cli/top_{name}_{size}.txt", text)


def test_a_gpu_that_others_use_is_not_called_free() -> None:
    stranger = {"pid": 4242, "user": "bob", "memory": 4000}
    text = drawn(known(gpus=[gpu(0, outsiders=[stranger])]), State(), Size(80, 24))
    assert "outsiders" in text
    assert "free" not in text


def test_without_block_letters_all_is_ascii() -> None:
    shown = known(*RUNNING)
    text = drawn(shown, State(), Size(80, 24, plain=True))
    assert "..." in text
    assert "####" in text
    assert text.isascii()


def test_a_machine_of_many_gpus_leaves_room_for_jobs() -> None:
    text = drawn(known(*RUNNING, gpus=[gpu(n) for n in range(16)]), State(), Size(80, 24))
    assert "... and 10 more" in text
    assert "bob" in text


@pytest.mark.parametrize("width", [1, 20, 40, 79, 250])
@pytest.mark.parametrize("height", [1, 5, 12, 60])
def test_no_line_is_longer_than_the_screen(width: int, height: int) -> None:
    text = drawn(USUAL, State(), Size(width, height))
    assert max(map(len, text.splitlines())) <= width


def test_as_high_as_it_needs_all_jobs_are_there_and_no_keys() -> None:
    text = drawn(known(*RUNNING, *MANY), State(), Size(100, 0))
    assert all(f"train{number}" in text for number in range(20, 320))
    assert "quit" not in text
    assert ">" not in text


def test_the_chosen_job_is_marked_by_more_than_a_colour() -> None:
    lines = drawn(USUAL, State(chosen=8), Size(80, 24)).splitlines()
    assert [line.split()[:2] for line in lines if line.startswith(">")] == [[">", "8_3"]]
