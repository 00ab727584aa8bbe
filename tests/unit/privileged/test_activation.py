"""Which environment a job gets: the rules, one after the other."""

from __future__ import annotations

import pytest

from mgpu.privileged.activation import Activation, Place, choose
from mgpu.privileged.refusal import Refusal
from tests.unit.privileged.fake_probe import FakeProbe, venv

HOME = b"/home/alice"


def chosen(
    probe: FakeProbe,
    *,
    mode: str = "auto",
    path: bytes = b"",
    cwd: bytes = HOME + b"/a/b",
    env: dict[bytes, bytes] | None = None,
) -> Activation:
    return choose(mode, path, Place({b"PATH": b"/usr/bin", **(env or {})}, cwd, HOME, 1001), probe)


def test_the_nearest_one_up_to_the_home_is_taken() -> None:
    probe = FakeProbe(venv("/home/alice/a/venv") | venv("/home/alice/.venv") | venv("/home/.venv"))
    assert chosen(probe).set[b"VIRTUAL_ENV"] == b"/home/alice/a/venv"
    assert chosen(probe, cwd=HOME + b"/other").set[b"VIRTUAL_ENV"] == b"/home/alice/.venv"


def test_dot_venv_comes_before_venv_on_the_way_and_after_it_at_home() -> None:
    both = FakeProbe(venv("/data/x/venv") | venv("/data/x/.venv"))
    assert chosen(both, cwd=b"/data/x").set[b"VIRTUAL_ENV"] == b"/data/x/.venv"
    home = FakeProbe(venv("/home/alice/venv") | venv("/home/alice/.venv"))
    assert chosen(home, cwd=b"/data/x").set[b"VIRTUAL_ENV"] == b"/home/alice/venv"


def test_nothing_above_the_home_is_taken() -> None:
    assert chosen(FakeProbe(venv("/home/.venv"))).label == "none (none found)"


def test_what_belongs_to_a_stranger_is_not_taken() -> None:
    probe = FakeProbe(venv("/tmp/.venv"), uid=1002)
    assert chosen(probe, cwd=b"/tmp/x").set == {}
    probe.owners[b"/tmp/.venv"] = 0
    assert chosen(probe, cwd=b"/tmp/x").set[b"VIRTUAL_ENV"] == b"/tmp/.venv"


def test_a_folder_of_that_name_alone_is_none() -> None:
    assert chosen(FakeProbe({"/home/alice/a/.venv/bin/python": b""})).set == {}


def test_the_one_active_at_submission_comes_first() -> None:
    probe = FakeProbe(venv("/home/alice/a/.venv") | venv("/opt/mine"), uid=1002)
    env = {b"VIRTUAL_ENV": b"/opt/mine", b"PATH": b"/opt/mine/bin:/usr/bin"}
    got = chosen(probe, env=env)
    assert got.label == "venv /opt/mine (active at submission)"
    assert got.set[b"PATH"] == b"/opt/mine/bin:/usr/bin"


def test_an_active_conda_environment_is_kept_as_it_is() -> None:
    probe = FakeProbe({"/opt/conda/conda-meta/history": b"", **venv("/home/alice/.venv")})
    env = {b"CONDA_PREFIX": b"/opt/conda", b"PATH": b"/opt/conda/bin:/usr/bin"}
    got = chosen(probe, env=env)
    assert got.label == "conda environment /opt/conda (active at submission)"
    assert (got.set, got.scripts) == ({b"PATH": b"/opt/conda/bin:/usr/bin"}, ())


def test_one_that_was_active_and_is_gone_is_not_kept() -> None:
    env = {b"VIRTUAL_ENV": b"/gone", b"CONDA_PREFIX": b"/gone too"}
    assert chosen(FakeProbe({}), env=env).label == "none (none found)"


def test_another_one_takes_the_place_of_the_active_one() -> None:
    probe = FakeProbe(venv("/opt/old") | venv("/home/alice/a/b/new"))
    env = {
        b"VIRTUAL_ENV": b"/opt/old",
        b"VIRTUAL_ENV_PROMPT": b"(old) ",
        b"PATH": b"/opt/old/bin::/usr/bin",
        b"PYTHONHOME": b"/x",
    }
    got = chosen(probe, mode="venv", path=b"new", env=env)
    changed = dict(env)
    got.apply(changed)
    assert changed == {
        b"VIRTUAL_ENV": b"/home/alice/a/b/new",
        b"VIRTUAL_ENV_PROMPT": b"(new) ",
        b"PATH": b"/home/alice/a/b/new/bin:/usr/bin",
    }


def test_turned_off() -> None:
    assert chosen(FakeProbe(venv("/home/alice/.venv")), mode="none").set == {}


@pytest.mark.parametrize("mode", ["venv", "conda"])
def test_what_was_asked_for_must_be_there(mode: str) -> None:
    with pytest.raises(Refusal) as refusal:
        chosen(FakeProbe({}), mode=mode, path=b"/not/there")
    assert refusal.value.stage == "activate"
    assert "/not/there" in refusal.value.detail
    assert not refusal.value.transient
