"""The configuration: where values come from, what is refused, and how that is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import pytest

from mgpu.config import ConfigError, load_settings
from mgpu.config.document import document
from mgpu.config.lines import lines_of
from mgpu.config.settings import SECTIONS, SETTINGS
from mgpu.config.trust import read_trusted

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration file that may be believed, if the folders above it may."""
    path = tmp_path / "config.toml"
    path.write_text("")
    path.chmod(0o644)
    return path


def problems_of(
    path: Path, text: str | bytes, env: dict[str, str] | None = None, **flags: str
) -> list[str]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, env, {key.replace("__", "."): value for key, value in flags.items()})
    return [str(problem).replace(f"{path}:", "") for problem in caught.value.problems]


def test_the_defaults_hold_without_a_file(config: Path) -> None:
    settings = load_settings(config)
    assert settings["paths.runtime_dir"] == "/run/mgpu"
    assert settings["gpus.simulated"] == []
    assert set(settings) == {setting.key for setting in SETTINGS}


def test_settings_can_be_sent_to_another_process(config: Path) -> None:
    config.write_text('[[gpus.simulated]]\nmemory = "16G"\n')
    settings = load_settings(config)
    assert msgpack.unpackb(msgpack.packb(settings)) == settings


def test_a_flag_comes_before_a_variable_before_the_file_before_the_default(config: Path) -> None:
    env = {"MGPU_SCHEDULING_KILL_GRACE": "7"}
    flags = {"scheduling.kill_grace": "8"}
    key = "scheduling.kill_grace"
    assert load_settings(config)[key] == 30
    config.write_text("[scheduling]\nkill_grace = 6\n")
    assert load_settings(config)[key] == 6
    assert load_settings(config, env)[key] == 7
    assert load_settings(config, env, flags)[key] == 8
    assert load_settings(config, env, {key: None})[key] == 7


def test_the_file_is_named_by_argument_or_variable(config: Path, tmp_path: Path) -> None:
    config.write_text("[access]\nmin_uid = 5\n")
    assert load_settings(None, {"MGPU_CONFIG": str(config)})["access.min_uid"] == 5
    missing = str(tmp_path / "missing.toml")
    assert load_settings(config, {"MGPU_CONFIG": missing})["access.min_uid"] == 5
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(missing)


def test_clients_and_daemon_share_the_variable_of_the_runtime_folder(config: Path) -> None:
    assert load_settings(config, {"MGPU_RUNTIME_DIR": "/run/x"})["paths.runtime_dir"] == "/run/x"


TEXTS: list[tuple[str, str, Any]] = [
    ("scheduling.max_job_time", "2h30m", 9000),
    ("scheduling.max_job_time", "3600", 3600),
    ("gpus.memory_margin", "1G", 1024),
    ("gpus.memory_margin", "0", 0),
    ("access.allow_root", "TRUE", True),
    ("access.group", "123", None),
    ("access.group", "gpu-users", "gpu-users"),
    ("limits.requests_per_second", "0.5", 0.5),
    ("limits.request_burst", " 12 ", 12),
    ("limits.request_burst", "1_2", None),
    ("gpus.backend", "nvml", "nvml"),
    ("gpus.backend", "cuda", None),
    ("paths.state_dir", "/srv/mgpu/", "/srv/mgpu"),
    ("paths.state_dir", "srv", None),
    ("paths.state_dir", "/srv/../etc", None),
    ("paths.state_dir", "/" + "x" * 100, None),
    ("paths.cgroup", "../../x", None),
    ("jobs.activate", "perhaps", None),
    (
        "gpus.simulated",
        '[{name = "A", memory = "1G", count = 2}]',
        [{"name": "A", "memory": 1024, "count": 2, "used": 0}],
    ),
    (
        "gpus.simulated",
        "[{memory = 1024, capability = 8.6, nvlink = 0, numa = 1}]",
        [
            {"name": "Simulated GPU", "memory": 1024, "count": 1, "used": 0}
            | {"capability": (8, 6), "nvlink": 0, "numa": 1}
        ],
    ),
    ("gpus.simulated", "[{memory = 1, capability = 8}]", None),
    ("gpus.simulated", '[{memory = 1, capability = "8.x"}]', None),
    ("gpus.simulated", "[{}]\nx = 1", None),
    ("gpus.devices", "all", "all"),
    ("gpus.devices", " 3, 0-1,1 ", [0, 1, 3]),
    ("gpus.devices", "0-x", None),
    ("gpus.devices", "2-1", None),
    ("gpus.devices", "", None),
    ("scheduling.time_zone", "Europe/Berlin", "Europe/Berlin"),
    ("scheduling.time_zone", "../../etc/passwd", None),
]


@pytest.mark.parametrize(("key", "text", "value"), TEXTS)
def test_a_variable_spells_a_value(config: Path, key: str, text: str, value: Any) -> None:
    env = {"MGPU_" + key.replace(".", "_").upper(): text}
    if value is None:
        with pytest.raises(ConfigError, match=key):
            load_settings(config, env)
    else:
        assert load_settings(config, env)[key] == value


WRONG: list[tuple[str, str]] = [
    (
        "[paths]\nruntime_dirr = '/x'\n",
        '2: unknown key "paths.runtime_dirr" (did you mean "runtime_dir"?)',
    ),
    ("[schedulin]\n", '1: unknown table "schedulin" (did you mean "scheduling"?)'),
    (
        "\n[gpus]\nkill_grace = 3\n",
        '3: unknown key "gpus.kill_grace" (it belongs below [scheduling])',
    ),
    ("kill_grace = 3\n", '1: unknown key "kill_grace" (write it below [scheduling])'),
    ("zzz = 3\n", '1: unknown key "zzz" (keys stand in tables)'),
    ("gpus = 3\n", "1: gpus: expected a table (write [gpus] on a line alone)"),
    (
        "[log]\nxx = 1\n",
        '2: unknown key "log.xx" ([log] knows level, format)',
    ),
    (
        "[access]\nmin_uid = '1000'\n",
        '2: access.min_uid: expected a whole number from 1, got "1000"',
    ),
    ("[access]\nmin_uid = true\n", "2: access.min_uid: expected a whole number from 1, got true"),
    (
        "[access]\nmin_uid = 0\n",
        "2: access.min_uid: 0 is out of range; write a whole number from 1",
    ),
    ("[jobs]\nactivate = 1\n", "2: jobs.activate: expected true or false, got 1"),
    (
        "[limits]\nrequests_per_second = nan\n",
        "2: limits.requests_per_second: nan is out of range; write a number from 0 to 100000",
    ),
    (
        "[scheduling]\nmax_job_time = '1 day'\n",
        '2: scheduling.max_job_time: "1 day" is not a duration; '
        "write 600, 10m, 2h30m or 1-12:00:00",
    ),
    (
        "[scheduling]\ntime_zone = 'Mars/Base'\n",
        '2: scheduling.time_zone: "Mars/Base" is no time zone; write Europe/Berlin or UTC',
    ),
    (
        "[gpus]\nbackend = 'cuda'\n",
        '2: gpus.backend: expected "auto" or "nvml" or "simulated", got "cuda"',
    ),
    (
        "[gpus]\ndevices = [0, 1]\n",
        '2: gpus.devices: expected "all", or indices such as "0-1,3", got a list',
    ),
    (
        "[gpus]\ndevices = '0;1'\n",
        '2: gpus.devices: "0;1" names no GPUs; write 0, 0,2 or 0-1,3',
    ),
    (
        "[[gpus.simulated]]\nname = 'A'\n",
        '1: gpus.simulated: [0]: memory is missing; write memory = "16G"',
    ),
    (
        "[[gpus.simulated]]\nmemory = 5\nnum = 2\n",
        '1: gpus.simulated: [0]: unknown key "num"; there are name, memory, count, used, '
        "capability, nvlink, switch, numa",
    ),
    (
        "[[gpus.simulated]]\nmemory = 5\ncount = 65\n",
        "1: gpus.simulated: [0].count: 65 is out of range; write a whole number from 1 to 64",
    ),
    ("[paths\n", "1: Expected ']' at the end of a table declaration (see https://toml.io)"),
]


@pytest.mark.parametrize(("text", "problem"), WRONG)
def test_what_is_wrong_is_named_with_line_and_remedy(config: Path, text: str, problem: str) -> None:
    assert problems_of(config, text) == [problem]


def test_every_problem_is_listed(config: Path) -> None:
    text = "[log]\nlevel = 'loud'\n[gpu]\n[access]\nmin_uid = -1\n"
    env = {"MGPU_QUEUE_DEFAULT": "none"}
    found = problems_of(config, text, env, paths__state_dir="here")
    assert [line.split(":")[0] for line in found] == [
        *("2", "3", "5"),
        "MGPU_QUEUE_DEFAULT",
        "command line",
    ]


def test_control_characters_in_a_file_do_not_reach_the_terminal(config: Path) -> None:
    (problem,) = problems_of(config, '"\\u001b[31m" = 1\n')
    assert "\x1b" not in problem
    assert "\\x1b[31m" in problem


def test_a_file_that_is_not_utf8_is_refused_with_its_line(config: Path) -> None:
    assert problems_of(config, b"\n\n# \xff\n") == ["3: this is not UTF-8 (convert it)"]


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_write_is_refused(config: Path, mode: int) -> None:
    config.chmod(mode)
    (problem,) = problems_of(config, "")
    assert problem.endswith(f"(mode {mode:04o}) (chmod go-w {config})")


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "config.toml").write_text("")
    (folder / "config.toml").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod go-w"):
        load_settings(folder / "config.toml")
    folder.chmod(0o1777)
    load_settings(folder / "config.toml")


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path, config: Path) -> None:
    folder = tmp_path / "loose"
    folder.mkdir()
    (folder / "real.toml").write_text("")
    (folder / "real.toml").chmod(0o644)
    folder.chmod(0o777)
    link = tmp_path / "link.toml"
    link.symlink_to(folder / "real.toml")
    assert [problem.source for problem in read_trusted(link)[1]] == [str(folder)]


@pytest.mark.parametrize("where", ["the file", "a folder on the way"])
def test_a_link_on_the_way_is_judged_too(tmp_path: Path, config: Path, where: str) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    first = tmp_path / "first"
    first.symlink_to(loose / "second")
    (loose / "second").symlink_to(config if where == "the file" else config.parent)
    named = first if where == "the file" else first / config.name
    assert [problem.source for problem in read_trusted(named)[1]] == [str(loose)]


def test_what_is_no_file_is_not_waited_for(config: Path) -> None:
    config.unlink(missing_ok=True)
    os.mkfifo(config, 0o600)
    assert [problem.message for problem in read_trusted(config)[1]] == ["this is no regular file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(config: Path) -> None:
    os.chown(config, 12345, -1)
    (problem,) = problems_of(config, "")
    assert "belongs to uid 12345" in problem


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load_settings(tmp_path)


def test_lines_are_found_in_every_spelling() -> None:
    text = '# top\n[ gpus ] # x\nbackend="auto"\n"poll_interval" = 1\n[[gpus.simulated]]\nname=1\n'
    assert lines_of(text) == {
        "gpus": 2,
        "gpus.backend": 3,
        "gpus.poll_interval": 4,
        "gpus.simulated": 5,
        "gpus.simulated.name": 6,
    }


def test_every_setting_belongs_to_a_described_table_and_has_help() -> None:
    assert {setting.section for setting in SETTINGS} == set(SECTIONS)
    assert all(setting.help.endswith(".") and setting.kind.shape for setting in SETTINGS)
    assert len({setting.key for setting in SETTINGS}) == len(SETTINGS)


def test_the_page_about_the_configuration_is_current() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == document(), "run: python -m mgpu.config.document > docs/configuration.md"


def mgpud(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mgpu.cli.mgpud", *args]
    return subprocess.run(
        command, cwd=ROOT, env=env or dict(os.environ), capture_output=True, text=True
    )


def test_mgpud_check_judges_a_file(config: Path) -> None:
    good = mgpud("check", str(config))
    assert (good.returncode, good.stdout) == (0, f"{config}: good\n")
    config.write_text("[log]\nlevel = 1\n[loge]\n")
    bad = mgpud("check", str(config))
    assert bad.returncode == 1
    assert bad.stderr.splitlines() == [
        f'mgpud: {config}:2: log.level: expected "debug" or "info" or "warning" or "error", got 1',
        f'mgpud: {config}:3: unknown table "loge" (did you mean "log"?)',
    ]


def test_hosts_are_the_same_in_any_letters(config: Path) -> None:
    config.write_text('[notices]\nallow_hosts = ["Hook.Example.org", "FD00::1"]\n')
    config.chmod(0o600)
    assert load_settings(config)["notices.allow_hosts"] == ["hook.example.org", "fd00::1"]
