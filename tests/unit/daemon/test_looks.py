"""Looks at the GPUs that are asked for."""

from __future__ import annotations

from mgpu.daemon.looks import Looks
from mgpu.testing.builders import at


def test_a_look_is_asked_for_once_when_it_is_due() -> None:
    wanted: list[float | None] = [None]
    asked: list[float] = []
    looks = Looks(lambda: wanted[0], lambda now: asked.append(now.boot))
    looks.expire(at(0))
    assert list(looks.deadlines()) == [None]
    wanted[0] = at(10).boot
    looks.expire(at(9))
    assert (asked, list(looks.deadlines())) == ([], [at(10).boot])
    looks.expire(at(11))
    looks.expire(at(12))
    assert (asked, list(looks.deadlines())) == ([at(11).boot], [None])
    wanted[0] = at(20).boot
    looks.expire(at(30))
    assert asked == [at(11).boot, at(30).boot]
