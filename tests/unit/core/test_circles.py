"""Dependencies that are changed so that jobs would wait for each other for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.core.requests import SetDependency
from mgpu.model.errors import MgpuError
from mgpu.testing.builders import UID, Desk
from tests.unit.core.dependents import a_desk, needs, run, submit


def change(desk: Desk, text: str, *jobs: int) -> None:
    desk.ask(SetDependency(jobs, needs(text), {}, UID))


def circle(desk: Desk, text: str, *jobs: int) -> str:
    """The circle that such a change would make."""
    with pytest.raises(MgpuError) as caught:
        change(desk, text, *jobs)
    assert (caught.value.code, caught.value.path) == ("Refused", "spec.dependency")
    return caught.value.message.removeprefix("this would be a circle: ")


def test_a_circle_is_named() -> None:
    desk = a_desk()
    one = submit(desk)
    two = submit(desk, f"afterok:{one}")
    three = submit(desk, f"afterok:{two}")
    assert circle(desk, f"afterany:{three}", one) == "1 waits for 3 waits for 2 waits for 1"
    assert circle(desk, f"afterany:{one}", one) == "1 waits for 1"
    assert desk.job(one).needs is None


def test_a_long_circle_is_told_in_short() -> None:
    """It is longer than Python calls itself."""
    desk = a_desk()
    jobs = [submit(desk)]
    for _ in range(1100):
        jobs.append(submit(desk, f"afterok:{jobs[-1]}"))
    told = circle(desk, f"afterok:{jobs[-1]}", jobs[0])
    assert told == "1 waits for 1101 waits for 1100 waits for 1099 waits for ... waits for 1"


def test_a_circle_by_way_of_a_name() -> None:
    desk = a_desk()
    one = submit(desk, name="x")
    two = submit(desk, "singleton", name="x")
    assert circle(desk, f"afterany:{two}", one) == "1 waits for 2 waits for 1"
    change(desk, "singleton", one)
    assert run(desk) == [one]


def test_a_circle_of_jobs_that_are_changed_together() -> None:
    desk = a_desk()
    one, two = submit(desk, name="x"), submit(desk, name="x")
    assert circle(desk, f"singleton,afterok:{two}", one, two).startswith("1 waits for 2 waits")
    other = submit(desk)
    change(desk, f"singleton,afterok:{other}", one, two)


def test_what_is_replaced_closes_no_circle() -> None:
    desk = a_desk()
    one = submit(desk)
    two = submit(desk, f"afterok:{one}")
    three = submit(desk)
    change(desk, f"afterok:{three}", two, one)
    change(desk, f"afterok:{one}", two)
    assert circle(desk, f"afterok:{two}", one) == "1 waits for 2 waits for 1"


def test_parts_of_an_array_are_one() -> None:
    desk = a_desk()
    array = submit(desk, tasks="0-1")
    two = submit(desk, f"afterok:{array}_1")
    assert circle(desk, f"afterok:{two}", array) == "1 waits for 2 waits for 1"


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=12))
def test_whatever_is_asked_for_everything_ends(links: list[tuple[int, int]]) -> None:
    desk = a_desk()
    submit(desk, count=6)
    for job, parent in links:
        before = desk.job(job).needs
        text = f"{before},afterany:{parent}" if before else f"afterany:{parent}"
        try:
            change(desk, text, job)
        except MgpuError as error:
            assert error.code == "Refused"  # noqa: PT017
    for _ in range(6):
        for number in run(desk):
            desk.end(number)
    assert desk.world.jobs == {}
