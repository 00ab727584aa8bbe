"""conda environments: finding one by its name, and what activating it changes."""

from __future__ import annotations

import pytest

from mgpu.privileged import conda
from tests.unit.privileged.fake_probe import FakeProbe

HOME = b"/home/alice"


def found(probe: FakeProbe, name: bytes, env: dict[bytes, bytes] | None = None) -> bytes | None:
    return conda.find(name, env or {}, HOME, b"/data", probe)


def env_at(path: str, **files: bytes) -> dict[str, bytes]:
    named = {f"{path}/{name.replace('__', '/')}": data for name, data in files.items()}
    return {f"{path}/conda-meta/history": b"", **named}


@pytest.mark.parametrize(
    ("path", "env"),
    [
        ("/shared/envs/ml", {b"CONDA_ENVS_PATH": b":/nowhere:/shared/envs"}),
        ("/opt/conda/envs/ml", {b"CONDA_EXE": b"/opt/conda/bin/conda"}),
        ("/opt/conda/envs/ml", {b"CONDA_PREFIX": b"/opt/conda"}),
        ("/opt/conda/envs/ml", {b"CONDA_PREFIX": b"/opt/conda/envs/other"}),
        ("/opt/mamba/envs/ml", {b"MAMBA_ROOT_PREFIX": b"/opt/mamba"}),
        ("/home/alice/.conda/envs/ml", {}),
        *((f"/home/alice/{root}/envs/ml", {}) for root in ("miniconda3", "anaconda3")),
        *((f"/home/alice/{root}/envs/ml", {}) for root in ("miniforge3", "mambaforge")),
        ("/home/alice/micromamba/envs/ml", {}),
    ],
)
def test_where_a_name_is_looked_for(path: str, env: dict[bytes, bytes]) -> None:
    assert found(FakeProbe(env_at(path)), b"ml", env) == path.encode()


def test_the_list_of_environments_is_read() -> None:
    listed = {"/home/alice/.conda/environments.txt": b"/x/base\n/x/my env; rm\n"}
    probe = FakeProbe(env_at("/x/my env; rm") | listed)
    assert found(probe, b"my env; rm") == b"/x/my env; rm"
    assert found(probe, b"base") is None


def test_base_is_the_root() -> None:
    probe = FakeProbe(env_at("/home/alice/miniforge3"))
    assert found(probe, b"base") == b"/home/alice/miniforge3"
    got = conda.activate(
        b"/opt/c", {b"CONDA_EXE": b"/opt/c/bin/conda"}, FakeProbe(env_at("/opt/c"))
    )
    assert got.set[b"CONDA_DEFAULT_ENV"] == b"base"


def test_a_path_is_a_path() -> None:
    probe = FakeProbe(env_at("/data/envs/x"))
    assert found(probe, b"./envs/x") == b"/data/envs/x"
    assert found(probe, b"/data/envs/x/") == b"/data/envs/x"
    assert found(probe, b"/data/envs") is None


@pytest.mark.parametrize("name", [b"", b".", b".."])
def test_names_that_are_none(name: bytes) -> None:
    assert found(FakeProbe(env_at("/home/alice/.conda/envs/x")), name) is None


def test_the_first_activation() -> None:
    files = env_at(
        "/o/envs/ml",
        **{
            "conda-meta__state": b'{"env_vars": {"Up": "x", "OFF": "***unset***", "N": 1}}',
            "etc__conda__env_vars.d__b.json": b'{"UP": "package", "PKG": "y"}',
            "etc__conda__env_vars.d__a.json": b"broken",
            "etc__conda__activate.d__2.sh": b"",
            "etc__conda__activate.d__1.sh": b"",
            "etc__conda__activate.d__3.fish": b"",
        },
    )
    got = conda.activate(b"/o/envs/ml", {b"PATH": b"/usr/bin", b"PKG": b"1"}, FakeProbe(files))
    assert got.set == {
        b"PATH": b"/o/envs/ml/bin:/usr/bin",
        b"CONDA_PREFIX": b"/o/envs/ml",
        b"CONDA_SHLVL": b"1",
        b"CONDA_DEFAULT_ENV": b"ml",
        b"CONDA_PROMPT_MODIFIER": b"(ml) ",
        b"UP": b"x",
        b"PKG": b"y",
        b"__CONDA_SHLVL_0_PKG": b"1",
    }
    folder = b"/o/envs/ml/etc/conda/activate.d/"
    assert got.scripts == (folder + b"1.sh", folder + b"2.sh")


def test_one_environment_after_another() -> None:
    old = env_at(
        "/o/envs/old",
        **{
            "conda-meta__state": b'{"env_vars": {"OLD": "1", "BOTH": "1"}}',
            "etc__conda__deactivate.d__1.sh": b"",
            "etc__conda__deactivate.d__2.sh": b"",
        },
    )
    new = env_at("/o/envs/new", **{"conda-meta__state": b'{"env_vars": {"BOTH": "2"}}'})
    env = {
        b"CONDA_PREFIX": b"/o/envs/old",
        b"CONDA_SHLVL": b"1",
        b"PATH": b"/first:/o/envs/old/bin:/usr/bin",
    }
    got = conda.activate(b"/o/envs/new", env, FakeProbe(old | new))
    assert got.set[b"PATH"] == b"/first:/o/envs/new/bin:/usr/bin"
    assert (got.set[b"CONDA_SHLVL"], got.set[b"CONDA_PREFIX_1"]) == (b"2", b"/o/envs/old")
    assert got.set[b"BOTH"] == b"2"
    folder = b"/o/envs/old/etc/conda/deactivate.d/"
    assert got.scripts == (folder + b"2.sh", folder + b"1.sh")
