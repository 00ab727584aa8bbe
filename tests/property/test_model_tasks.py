"""Sets of tasks against Python's own sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mgpu.model.target import Target, name_of, parse_target
from mgpu.model.tasks import Tasks, parse_tasks

INDICES = st.sets(st.integers(0, 60), min_size=1)


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, set[int]]:
    """An ``--array`` and what it means."""
    words, meant = [], set()
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, 40))
        last = draw(st.integers(first, first + 30))
        step = draw(st.integers(1, 7))
        word = draw(st.sampled_from([f"{first}", f"{first}-{last}", f"{first}-{last}:{step}"]))
        words.append(word)
        stride = step if ":" in word else 1
        meant |= set(range(first, last + 1, stride)) if "-" in word else {first}
    return ",".join(words), meant


#: Sets as they come about: from a list of indices, from a text, from another operation.
ANY = st.one_of(INDICES.map(Tasks.of), texts().map(lambda pair: parse_tasks(pair[0])[0]))


def well_formed(tasks: Tasks) -> bool:
    ends = [number for first, last, _ in tasks.ranges for number in (first, last)]
    return ends == sorted(ends) and len(tasks) == len(set(tasks)) == len(list(tasks))


@given(texts())
def test_a_text_means_its_indices(case: tuple[str, set[int]]) -> None:
    text, meant = case
    tasks, bound = parse_tasks(text)
    assert (set(tasks), len(tasks), bound) == (meant, len(meant), 0)
    assert (tasks.first, tasks.last) == (min(meant), max(meant))
    assert [tasks[place] for place in range(len(tasks))] == sorted(meant) == list(tasks)
    assert well_formed(tasks)


@given(ANY)
def test_what_is_written_is_read_back(tasks: Tasks) -> None:
    assert set(parse_tasks(str(tasks))[0]) == set(tasks)
    name = parse_target(name_of(42, tasks, 3))
    assert isinstance(name, Target)
    assert (name.job, set(name.tasks)) == (42, set(tasks))
    assert set(parse_target(str(name)).tasks) == set(tasks)  # type: ignore[union-attr]


@given(ANY, ANY)
def test_operations_are_those_of_sets(one: Tasks, other: Tasks) -> None:
    left, right = set(one), set(other)
    for made, meant in (
        (one.meet(other), left & right),
        (one.without(other), left - right),
        (one.join(other), left | right),
        (one.without(other).meet(one), left - right),
        (one.without(other).join(one.meet(other)), left),
    ):
        assert set(made) == meant
        assert well_formed(made)
    assert all((index in one) == (index in left) for index in range(62))
