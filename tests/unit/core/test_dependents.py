"""The index of who waits for whom: what an event costs, and that nothing is missed."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from mgpu.core import dependency
from mgpu.core.requests import AttemptEnded
from tests.unit.core.dependents import a_desk, run, submit, told


def test_an_end_costs_a_look_at_the_conditions_that_it_concerns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred jobs that each wait for the same hundred: one end is a hundred looks, or so."""
    desk = a_desk()
    parents = [submit(desk) for _ in range(100)]
    for _ in range(100):
        submit(desk, "afterany:" + ":".join(map(str, parents)))
    run(desk)
    looks = Mock(side_effect=dependency._open)
    monkeypatch.setattr(dependency, "_open", looks)
    moves = Mock(side_effect=desk.world.dependents._watch)
    monkeypatch.setattr(desk.world.dependents, "_watch", moves)
    desk.ask(AttemptEnded(parents[0], 1, 0, None, "exit", "", desk.now.wall))
    desk.run()
    assert looks.call_count == 100
    assert [call.args[1] for call in moves.call_args_list] == [[]] * 100


def test_of_two_conditions_about_one_job_the_other_is_watched_on() -> None:
    desk = a_desk()
    first = submit(desk)
    second = submit(desk, f"after:{first},afterany:{first}")
    run(desk)
    assert run(desk) == []
    assert str(desk.job(second).needs) == f"afterany:{first}"
    desk.end(first)
    assert run(desk) == [second]


def test_a_delay_goes_on_when_another_condition_comes_true() -> None:
    desk = a_desk()
    first, other = submit(desk), submit(desk)
    second = submit(desk, f"after:{first}+10,afterany:{other}")
    run(desk)
    run(desk)
    desk.end(other)
    desk.run()
    desk.wait(600)
    assert run(desk) == [second]


def test_what_is_waited_for_is_told_with_its_state() -> None:
    desk = a_desk()
    array = submit(desk, tasks="0-9")
    second = submit(desk, f"afterany:{array}")
    assert told(desk, second).endswith(f"job {array} (waiting) to end")
    run(desk)
    assert told(desk, second).endswith(f"job {array} (running) to end")
    for number in sorted(desk.world.placed):
        desk.cancel(number)
    assert told(desk, second).endswith(f"job {array} (ending) to end")
