"""Where values come from, and reading the configuration again for a daemon that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mgpu.config import ConfigError
from mgpu.config.load import resolve
from mgpu.config.reload import answer, packed
from mgpu.config.settings import SETTINGS, Setting
from mgpu.config.written import written


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("")
    path.chmod(0o644)
    return path


def running(config: Path, **flags: str) -> dict[str, Any]:
    """The settings of a daemon that was started with this file."""
    given = {key.replace("__", "."): text for key, text in flags.items()}
    return packed(resolve(config, {}, given), str(config), given)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_each_setting_has_a_variable(config: Path, setting: Setting) -> None:
    variable = "MGPU_" + setting.key.replace(".", "_").upper()
    value = setting.kind.parse(setting.default)
    found = resolve(config, {variable: written(value).strip('"')})
    assert found.values[setting.key] == value
    assert found.origins[setting.key] == f"variable {variable}"
    with pytest.raises(ConfigError, match=f"{variable}: {setting.key}: "):
        resolve(config, {variable: "\0"})


def test_each_value_tells_where_it_comes_from(config: Path) -> None:
    config.write_text("[log]\nlevel = 'debug'\n[queue]\n\ndefault = 'me'\n")
    env = {"MGPU_JOBS_ACTIVATE": "false", "MGPU_RUNTIME_DIR": "/run/x"}
    found = resolve(config, env, {"scheduling.kill_grace": "9"}).origins
    assert found["log.level"] == f"file {config}:2"
    assert found["queue.default"] == f"file {config}:5"
    assert found["jobs.activate"] == "variable MGPU_JOBS_ACTIVATE"
    assert found["paths.runtime_dir"] == "variable MGPU_RUNTIME_DIR"
    assert found["scheduling.kill_grace"] == "command line"
    assert found["gpus.placement"] == "default"


def test_a_good_file_is_taken_over_and_what_changes_is_named(config: Path) -> None:
    current = running(config, scheduling__kill_grace="5")
    config.write_text("[scheduling]\nmax_job_time = '2h'\nkill_grace = 6\n")
    told = answer(current)
    assert told["changed"] == ["scheduling.max_job_time"]
    assert told["settings"]["scheduling.max_job_time"] == 7200
    assert told["settings"]["scheduling.kill_grace"] == 5, "the flag still comes first"
    assert told["waiting"] == []
    assert answer(told["settings"])["changed"] == [], "reading it once more changes nothing"


def test_of_a_bad_file_nothing_is_taken_over(config: Path) -> None:
    current = running(config)
    config.write_text("[scheduling]\nmax_job_time = '2h'\nkill_grace = -1\n[logg]\n")
    told = answer(current)
    assert [line.removeprefix(f"{config}:")[:2] for line in told["problems"]] == ["3:", "4:"]
    assert "settings" not in told


def test_what_needs_a_restart_waits_for_it(config: Path) -> None:
    current = running(config)
    config.write_text("[paths]\nstate_dir = '/srv/x'\n[gpus]\nplacement = 'spread'\n")
    told = answer(current)
    assert (told["changed"], told["waiting"]) == (["gpus.placement"], ["paths.state_dir"])
    assert told["settings"]["paths.state_dir"] == "/var/lib/mgpu"
    assert told["settings"]["config.waiting"] == {"paths.state_dir": "/srv/x"}
    assert told["settings"]["config.origins"]["paths.state_dir"] == "default"
    config.write_text("")
    again = answer(told["settings"])
    assert (again["changed"], again["waiting"]) == (["gpus.placement"], [])


def test_a_file_that_has_gone_changes_nothing(config: Path) -> None:
    current = running(config)
    config.unlink()
    assert answer(current) == {"problems": [f"{config}: No such file or directory"]}


def test_the_usual_file_that_has_gone_changes_nothing(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgpu.config.load.DEFAULT_PATH", config)
    config.write_text("[access]\nsubmit = ['ada']\n")
    current = packed(resolve(), "", {})
    config.unlink()
    (problem,) = answer(current)["problems"]
    assert problem.startswith(f"{config}: the file is gone")
    config.symlink_to(config.with_name("nowhere"))
    assert answer(current) == {"problems": [f"{config}: No such file or directory"]}
    with pytest.raises(ConfigError, match="No such file"):
        resolve()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (0.5, "0.5"),
        ('say "x"\n', '"say \\"x\\"\\n"'),
        ([1, [8, 6]], "[1, [8, 6]]"),
        ({}, "{}"),
        ({"ada": 2.0, "a b": "x"}, '{ ada = 2.0, "a b" = "x" }'),
    ],
)
def test_values_are_written_as_a_file_holds_them(value: object, text: str) -> None:
    import tomllib

    assert written(value) == text
    assert tomllib.loads(f"v = {text}")["v"] == value
