"""mgpu_top's keys: what they are called, what they change, what they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from mgpu.cli.top_state import Action, State, jobs, keys, press, remember, settled
from tests.unit.cli.conftest import job

RUNNING = job(id=7, state="RUNNING")
TASKS = job(id=8, array=8, tasks="3-9")
HELD = job(id=9, reason="JobHeldUser")
LISTED = jobs([TASKS, RUNNING, HELD])


def at(place: int) -> State:
    return settled(State(place=place), LISTED)


def test_those_that_run_come_first_and_others_keep_their_order() -> None:
    assert [one["id"] for one in LISTED] == [7, 8, 9]


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA\x1bOB", ["up", "down"]),
        (b"jkgG", ["down", "up", "first", "last"]),
        (b"\x1b[5~\x1b[6~", ["page up", "page down"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[1;5Cx", ["\x1b[1;5C", "x"]),
        (b"q\xff", ["q", "\ufffd"]),
        (b"", []),
    ],
)
def test_what_a_terminal_sends_is_named(typed: bytes, named: list[str]) -> None:
    assert keys(typed) == named


@pytest.mark.parametrize(
    ("begin", "key", "end"),
    [(0, "down", 1), (1, "up", 0), (0, "up", 0), (2, "down", 2), (0, "last", 2), (2, "first", 0),
     (0, "page down", 2), (2, "page up", 0), (1, "z", 1)],
)  # fmt: skip
def test_moving_stays_in_the_list(begin: int, key: str, end: int) -> None:
    state, action = press(at(begin), key, LISTED)
    assert (state, action) == (at(end), None)


def test_a_cancel_is_asked_about_and_done_on_yes() -> None:
    asked, action = press(at(0), "x", LISTED)
    assert (asked.asked, action) == (Action("cancel", 7), None)
    assert press(asked, "y", LISTED) == (at(0), Action("cancel", 7))


@pytest.mark.parametrize("key", ["n", "x", "q", "escape", "Y", "down"])
def test_any_other_key_is_no(key: str) -> None:
    asked, _ = press(at(0), "x", LISTED)
    state, action = press(asked, key, LISTED)
    assert (state.asked, state.place, action) == (None, 0, None)
    assert state.message == "Nothing was done"


def test_tasks_are_cancelled_by_their_names() -> None:
    asked, _ = press(at(1), "x", LISTED)
    assert asked.asked == Action("cancel", "8_[3-9]")


@pytest.mark.parametrize("state", ["COMPLETING", "COMPLETED", "FAILED"])
def test_what_ends_is_not_cancelled(state: str) -> None:
    ending = jobs([job(id=7, state=state)])
    after, action = press(settled(State(), ending), "x", ending)
    assert (after.asked, action, after.message) == (None, None, "Job 7 is ending already")


def test_a_waiting_job_is_held_and_a_held_one_released() -> None:
    assert press(at(1), "h", LISTED)[1] == Action("hold", "8_[3-9]")
    assert press(at(2), "h", LISTED)[1] == Action("release", 9)


def test_a_running_job_is_not_held() -> None:
    state, action = press(at(0), "h", LISTED)
    assert action is None
    assert "has started" in state.message


def test_the_log_is_shown_and_hidden_by_one_key() -> None:
    shown, action = press(at(0), "l", LISTED)
    assert (shown.log, shown.chosen, action) == (True, 7, None)
    assert press(press(shown, "down", LISTED)[0], "l", LISTED)[0].log is False


def test_a_message_goes_with_the_next_key() -> None:
    state, _ = press(at(0), "h", LISTED)
    assert press(state, "z", LISTED)[0].message == ""


@pytest.mark.parametrize("key", ["x", "h", "down", "y"])
def test_without_jobs_keys_do_nothing(key: str) -> None:
    assert press(State(), key, []) == (State(), None)


def test_q_quits_with_jobs_and_without() -> None:
    assert press(at(0), "q", LISTED)[1] == press(State(), "q", [])[1] == Action("quit")


def test_the_chosen_job_stays_chosen_where_others_come_and_go() -> None:
    chosen = at(2)
    assert settled(chosen, LISTED[1:]) == State(chosen=9, place=1)


def test_in_the_place_of_a_job_that_is_gone_the_next_is_chosen() -> None:
    assert settled(at(1), [LISTED[0], LISTED[2]]) == State(chosen=9, place=1)
    assert settled(at(2), LISTED[:1]) == State(chosen=7, place=0)
    assert settled(at(2), []) == State()


def test_a_question_is_over_when_all_jobs_are_gone() -> None:
    asked, _ = press(at(0), "x", LISTED)
    assert settled(asked, []).asked is None


def test_the_history_is_of_the_gpus_that_are_there_and_not_endless() -> None:
    def gpus(busy: int) -> list[dict[str, Any]]:
        return [{"index": 0, "utilization": busy}]

    seen = remember({0: (5,), 1: (6,)}, gpus(7))
    assert seen == {0: (5, 7)}
    for busy in range(200):
        seen = remember(seen, gpus(busy % 100))
    assert len(seen[0]) == 120
    assert seen[0][-1] == 99
