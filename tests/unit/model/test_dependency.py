"""How dependencies are written: Slurm's forms, and the caller's newest jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mgpu.model.dependency import (
    AFTER,
    AFTERCORR,
    KINDS,
    MOST,
    SINGLETON,
    WHOLE,
    Condition,
    Dependency,
    parse_dependency,
)
from mgpu.model.errors import MgpuError


def newest(back: int) -> int:
    return 100 - back


def parsed(text: str) -> Dependency:
    return parse_dependency(text, newest)


GOOD = {
    "12": (Condition("afterany", 12),),
    "12:13": (Condition("afterany", 12), Condition("afterany", 13)),
    "afterok:12:13,afterany:14": (
        Condition("afterok", 12),
        Condition("afterok", 13),
        Condition("afterany", 14),
    ),
    "afternotok:42_7": (Condition("afternotok", 42, 7),),
    "aftercorr:42": (Condition("aftercorr", 42),),
    "after:12": (Condition("after", 12),),
    "after:12+10:13": (Condition("after", 12, delay=600), Condition("after", 13)),
    "singleton": (Condition("singleton"),),
    "afterok:3,singleton": (Condition("afterok", 3), Condition("singleton")),
    "@": (Condition("afterany", 100),),
    "afterok:@:@~1": (Condition("afterok", 100), Condition("afterok", 99)),
    "afterok:3:3,afterok:3": (Condition("afterok", 3),),
}


@pytest.mark.parametrize("text", GOOD)
def test_what_is_read(text: str) -> None:
    assert parsed(text) == Dependency(GOOD[text])


def test_a_question_mark_means_one_of_them() -> None:
    one_of = Dependency((Condition("afterok", 1), Condition("afterany", 2)), any_of=True)
    assert parsed("afterok:1?afterany:2") == one_of
    assert str(one_of) == "afterok:1?afterany:2"
    both = Dependency((Condition("afterok", 1), Condition("afterok", 2)))
    assert (str(both), str(replace(both, any_of=True))) == ("afterok:1:2", "afterok:1?afterok:2")


BAD = {
    "": "no condition",
    "afterok": "no condition",
    "afterok:": "no condition",
    "afterok:x": "no condition",
    "afterok:1,": "no condition",
    "aftrok:1": "no condition",
    "singleton:1": "no condition",
    "afterok:1 ,2": "no condition",
    "afterok:٣": "no condition",
    "afterok:1,2?3": "do not go together",
    "afterok:1+5": "only after: takes minutes",
    "aftercorr:42_7": "takes a whole array",
    "expand:1": "expand is not possible: mgpu gives a running job no more GPUs",
    "afterburstbuffer:1": "no burst buffers",
    ":".join(["afterok", *map(str, range(MOST + 1))]): "101 conditions are more than the 100",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(MgpuError) as caught:
        parsed(text)
    assert caught.value.code == "BadRequest"
    assert BAD[text] in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 300


def test_a_caller_without_such_a_job_is_told() -> None:
    def none(back: int) -> int:
        raise MgpuError("UnknownJob", f"no job {back} back")

    with pytest.raises(MgpuError, match="no job 3 back"):
        parse_dependency("afterok:@~3", none)


def test_a_dependency_is_hopeless_as_a_whole() -> None:
    lost, open_one = Condition("afterok", 1, never="FAILED"), Condition("afterok", 2)
    assert Dependency((lost, open_one)).hopeless
    assert not Dependency((lost, open_one), any_of=True).hopeless
    assert Dependency((lost, lost), any_of=True).hopeless
    assert not Dependency((open_one,)).hopeless


numbers = st.integers(1, 10**6)
conditions = st.one_of(
    st.builds(Condition, st.sampled_from([k for k in KINDS if k != SINGLETON]), numbers),
    st.builds(Condition, st.just("afterok"), numbers, st.integers(0, 99)),
    st.builds(
        Condition, st.just(AFTER), numbers, st.just(WHOLE), st.integers(0, 99).map(lambda m: m * 60)
    ),
    st.just(Condition(SINGLETON)),
)


@given(st.lists(conditions, min_size=1, max_size=6, unique=True), st.booleans())
def test_what_is_written_is_read_again(some: list[Condition], any_of: bool) -> None:
    needs = Dependency(tuple(some), any_of and len(some) > 1)
    assert parsed(str(needs)) == needs


@example("afterok:1:2_7,aftercorr:3")
@example("aftercorr:1:2?after:3+4")
@given(st.text("afterokcnyinglt:0123456789_+@~,?", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        needs = parsed(text)
    except MgpuError as error:
        assert error.code == "BadRequest"  # noqa: PT017
    else:
        assert all(one.kind in KINDS for one in needs.conditions)
        assert all(one.task == WHOLE for one in needs.conditions if one.kind == AFTERCORR)
