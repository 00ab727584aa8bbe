"""``mgpud init``: the answers it takes, the file it writes, what it keeps of an old one."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mgpu.cli import mgpud
from mgpu.config import load_settings, machine
from mgpu.config.machine import Card

EXISTING = """\
# ours
[scheduling]   # times
max_job_time = "1h" # short
kill_grace = 5

[[scheduling.classes]]
name = "idle"

[access]
group = "gpu"  # the students
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "config.toml"


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cards", list)
    monkeypatch.setattr(machine, "smallest_uid", lambda: 500)


def run(*args: object, answers: str | None = None) -> Result:
    words = ["init", *map(str, args)]
    return CliRunner().invoke(mgpud.main, words, input=answers, env={"MGPU_CONFIG": None})


def content(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def test_proposals_make_a_file_that_mgpud_takes(path: Path) -> None:
    result = run("--yes", path)
    assert result.exit_code == 0, result.output
    settings = load_settings(path)
    assert settings["gpus.backend"] == "simulated"
    assert [gpu["memory"] for gpu in settings["gpus.simulated"]] == [16384]
    assert settings["access.min_uid"] == 500
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_text().startswith("# The configuration of mgpu.")
    assert f"Wrote {path}" in result.output


def test_real_gpus_are_used_where_there_are_some(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cards", lambda: [Card("0000:01:00.0", "NVIDIA A100")])
    result = run("--yes", path)
    assert "NVIDIA GPUs of this machine: NVIDIA A100" in result.output
    assert content(path)["gpus"] == {"backend": "auto", "devices": "all"}


def test_answers_come_as_options(path: Path) -> None:
    args = ["--simulated", "1x8G,3x512M", "--gpus", "0,2", "--group", "gpu", "--max-job-time", "2h"]
    assert run("--yes", *args, "--admin-group", "ops", path).exit_code == 0
    settings = load_settings(path)
    assert [(gpu["count"], gpu["memory"]) for gpu in settings["gpus.simulated"]] == [
        (1, 8192),
        (3, 512),
    ]
    assert settings["gpus.devices"] == [0, 2]
    assert (settings["access.group"], settings["access.admin_group"]) == ("gpu", "ops")
    assert settings["scheduling.max_job_time"] == 7200


def test_an_existing_file_keeps_its_comments_and_what_is_not_asked_about(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(EXISTING)
    path.chmod(0o640)
    assert run("--yes", "--max-job-time", "2h", "--backend", "auto", path).exit_code == 0
    text = path.read_text()
    expected = EXISTING.replace('"1h"', '"2h"')
    assert text.startswith(expected[: expected.index("\n[access]")])
    assert 'group = "gpu"  # the students' in text
    assert path.stat().st_mode & 0o777 == 0o640
    assert load_settings(path)["scheduling.kill_grace"] == 5
    before = path.read_text()
    assert run("--yes", path).exit_code == 0
    assert path.read_text() == before, "asked again, it changes nothing"


def test_gpus_that_are_answered_alike_keep_what_else_is_said_of_them(path: Path) -> None:
    gpus = '[[gpus.simulated]] # ours\nname = "Tiny"\nmemory = "8G"\ncount = 2\nnuma = 1\n'
    path.parent.mkdir()
    path.write_text(f'[gpus]\nbackend = "simulated"\n{gpus}')
    path.chmod(0o644)
    for args in (["--min-uid", "1500"], ["--simulated", "2x8G"]):
        assert run("--yes", *args, path).exit_code == 0
        assert gpus in path.read_text()
    assert load_settings(path)["access.min_uid"] == 1500
    assert run("--yes", "--simulated", "3x8G", path).exit_code == 0
    assert [gpu["count"] for gpu in load_settings(path)["gpus.simulated"]] == [3]


def test_tables_may_stand_in_any_order(path: Path) -> None:
    path.parent.mkdir()
    simulated = '[[gpus.simulated]]\nname = "A"\nmemory = "8G"\ncount = 1\n'
    path.write_text(f'{simulated}[log]\n[gpus]\nbackend = "simulated" # ours\n')
    path.chmod(0o644)
    result = run("--yes", "--simulated", "3x4G", "--gpus", "0-1", path)
    assert result.exit_code == 0, result.output
    settings = load_settings(path)
    assert [(gpu["count"], gpu["memory"]) for gpu in settings["gpus.simulated"]] == [(3, 4096)]
    assert settings["gpus.devices"] == [0, 1]
    assert 'backend = "simulated" # ours' in path.read_text()


def test_a_bad_file_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("[loge]\n")
    path.chmod(0o644)
    result = run("--yes", path)
    assert result.exit_code == 1
    assert f'{path}:1: unknown table "loge"' in result.output
    assert path.read_text() == "[loge]\n"


def test_force_begins_anew_and_keeps_the_old_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("[loge]\n")
    assert run("--yes", "--force", path).exit_code == 0
    assert load_settings(path)["gpus.backend"] == "simulated"
    assert path.with_name("config.toml.old").read_text() == "[loge]\n"


def test_force_leaves_a_file_where_the_new_one_cannot_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    path.write_text("[log]\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mgpu.config.edit.write", full)
    assert run("--yes", "--force", path).exit_code != 0
    assert path.read_text() == "[log]\n"


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--max-job-time", "soon"], '--max-job-time: "soon" is not a duration'),
        (["--simulated", "two"], "--simulated: 'two' is not as 2x16G"),
        (["--simulated", "99x16G"], "--simulated: [0].count: 99 is out of range"),
        (["--backend", "cuda"], "--backend: expected"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_written(
    path: Path, args: list[str], problem: str
) -> None:
    result = run("--yes", *args, path)
    assert result.exit_code == 2
    assert problem in result.output
    assert not path.exists()


def test_without_a_terminal_it_wants_yes(path: Path) -> None:
    result = run(path)
    assert result.exit_code == 2
    assert "give --yes" in result.output


def test_what_is_left_to_do_is_said(path: Path) -> None:
    result = run("--yes", "--group", "no-such-group", path)
    assert "access.group: there is no group no-such-group (groupadd no-such-group)" in result.output


def test_people_who_are_not_there_are_noted_with_the_line(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('[access]\nsubmit = ["nobody-here", "@none-here"]\n')
    path.chmod(0o644)
    result = CliRunner().invoke(mgpud.main, ["check", str(path)])
    assert result.exit_code == 0
    for text in ("there is no user nobody-here", "there is no group none-here"):
        assert f"mgpud: note: {path}:2: access.submit: {text}" in result.output


def test_questions_are_asked_on_a_terminal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mgpu.cli.mgpud_init._is_terminal", lambda: True)
    result = run(path, answers="simulated\n1x8G\n\n\nops\n\nsoon\n3h\n\n\n")
    assert result.exit_code == 0, result.output
    assert '"soon" is not a duration' in result.output
    settings = load_settings(path)
    assert settings["scheduling.max_job_time"] == 3 * 3600
    assert settings["access.admin_group"] == "ops"


def test_the_machine_is_looked_at_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA H200\nIRQ:   1\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/login.defs").write_text("# UID_MIN 1\nUID_MIN\t\t 2000\n")
    assert machine.cards(tmp_path) == [Card("0000:01:00.0", "NVIDIA H200")]
    assert machine.smallest_uid(tmp_path) == 2000
    assert machine.cards(tmp_path / "x") == []
    assert machine.smallest_uid(tmp_path / "x") == 1000


def test_force_keeps_all_earlier_files(path: Path) -> None:
    path.parent.mkdir()
    for text in ("one", "two", "three"):
        path.write_text(f"# {text}\n")
        path.chmod(0o644)
        assert run("--yes", "--force", path).exit_code == 0
    kept = [path.with_name(f"config.toml.old{end}").read_text() for end in ("", ".2", ".3")]
    assert kept == ["# one\n", "# two\n", "# three\n"]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_behind_a_link_the_file_itself_is_changed(path: Path, force: list[str]) -> None:
    path.parent.mkdir()
    real = path.parent / "site.toml"
    real.write_text("# ours\n")
    real.chmod(0o640)
    path.symlink_to("site.toml")
    assert run("--yes", "--max-job-time", "2h", *force, path).exit_code == 0
    assert path.is_symlink()
    assert load_settings(path)["scheduling.max_job_time"] == 7200
    assert real.stat().st_mode & 0o777 == 0o640
    kept = real.with_name("site.toml.old")
    assert kept.exists() == bool(force)


def test_a_link_that_cannot_be_trusted_or_leads_nowhere_is_refused(path: Path) -> None:
    path.parent.mkdir()
    real = path.parent / "site.toml"
    path.symlink_to(real)
    result = run("--yes", path)
    assert result.exit_code == 1
    assert "this leads to no file that can be read: No such file" in result.output
    assert not real.exists()
    real.write_text("# ours\n")
    real.chmod(0o666)
    result = run("--yes", "--force", path)
    assert result.exit_code == 1
    assert "others than root can write it" in result.output
    assert real.read_text() == "# ours\n"


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("name", ["loop", "loop/config.toml", "x" * 300])
def test_a_name_that_leads_nowhere_is_refused(
    tmp_path: Path, name: str, force: tuple[str, ...]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    result = run("--yes", *force, tmp_path / name)
    assert result.exit_code == 1
    assert f"mgpud: {tmp_path / name}: this leads to no file that can be read: " in result.stderr
    assert os.listdir(tmp_path) == ["loop"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("led", [False, True])
def test_nothing_is_written_below_a_folder_of_a_user(
    tmp_path: Path, force: tuple[str, ...], *, led: bool
) -> None:
    """Where the user could have it lead elsewhere, and mgpud would not believe it."""
    theirs, roots = tmp_path / "home", tmp_path / "etc"
    theirs.mkdir()
    roots.mkdir()
    (theirs / "link").symlink_to(roots)
    os.chown(theirs, 12345, 12345)
    place = theirs / "link" if led else theirs
    result = run("--yes", *force, place / "new" / "config.toml")
    assert result.exit_code == 1
    assert f"{theirs}: it belongs to uid 12345" in result.stderr
    assert not list(roots.iterdir())
    assert not (theirs / "new").exists()
