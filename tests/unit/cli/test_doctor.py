"""mgpu_ctl doctor: what is looked at, what it means, and what people see."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mgpu.cli import base, ctl_doctor, doctor, doctor_look
from mgpu.cli.doctor import FAIL, OK, WARN, Finding
from tests.lib.fake_server import FakeServer
from tests.lib.golden import Golden
from tests.unit.cli.conftest import Run

Capture = pytest.CaptureFixture[str]
WELL: dict[str, Any] = {
    "version": "0.1.0",
    "backend": "nvml",
    "driver": "580.65.06",
    "isolation": "detect",
    "fenced_by": "",
    "tracking": "cgroup-v2",
    "hidden": False,
    "gpus": [
        {"index": 0, "name": "NVIDIA H200", "available": True, "note": ""},
        {"index": 1, "name": "NVIDIA H200", "available": False, "note": "drained: \x1b[2Jfan"},
    ],
}


def levels(findings: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.level for finding in findings}


def test_a_daemon_that_is_well() -> None:
    found = levels(list(doctor.of_daemon(WELL)))
    well = ("daemon", "GPUs", "gpu0", "isolation", "processes")
    assert found == dict.fromkeys(well, OK) | {"gpu1": WARN}


@pytest.mark.parametrize(
    ("change", "what", "level"),
    [
        ({"gpus": []}, "GPUs", FAIL),
        ({"backend": "simulated"}, "GPUs", WARN),
        ({"isolation": "variables"}, "isolation", WARN),
        ({"isolation": "enforce"}, "isolation", OK),
        ({"hidden": True}, "isolation", WARN),
        ({"hidden": True}, "/proc", WARN),
        ({"tracking": "cgroup-v1"}, "processes", WARN),
        ({"tracking": "subreaper"}, "processes", WARN),
    ],
)
def test_what_a_daemon_lacks(change: dict[str, Any], what: str, level: str) -> None:
    found = {finding.what: finding for finding in doctor.of_daemon(WELL | change)}
    assert found[what].level == level
    assert bool(found[what].remedy) == (level != OK)


def test_the_isolation_that_holds_is_told_and_what_it_is_made_of() -> None:
    def said(**change: object) -> str:
        found = {finding.what: finding.text for finding in doctor.of_daemon(WELL | change)}
        return found["isolation"]

    fenced = said(isolation="enforce", fenced_by="cgroup-v1")
    assert fenced.startswith("enforce: ")
    assert fenced.endswith("by cgroup version 1 (devices)")
    assert said(hidden=True).startswith("variables: detect is configured, and nothing can be")


def test_a_daemon_of_before_does_not_say_how_it_follows_jobs() -> None:
    old = {key: value for key, value in WELL.items() if key not in ("tracking", "fenced_by")}
    found = levels(list(doctor.of_daemon(old)))
    assert "processes" not in found
    assert found["isolation"] == OK


def test_nodes_that_everybody_can_open(tmp_path: Path) -> None:
    for name, mode in (("nvidia0", 0o666), ("nvidia1", 0o660), ("nvidiactl", 0o666)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    found = levels(list(doctor.of_nodes(tmp_path)))
    assert found == {f"{tmp_path}/nvidia0": WARN, f"{tmp_path}/nvidia1": OK}


def test_cgroups() -> None:
    old = "31 23 0:27 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n"
    new = "41 23 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    assert doctor.of_cgroups(old).level == WARN
    assert doctor.of_cgroups(old + new).level == OK


@pytest.mark.parametrize(
    ("main", "drop_in", "level"),
    [
        (None, None, WARN),
        ("#RemoveIPC=no\n", None, WARN),
        ("[Login]\nRemoveIPC=no\n", None, OK),
        ("RemoveIPC=no\n", "RemoveIPC=yes\n", WARN),
        (None, "RemoveIPC = off\n", OK),
    ],
)
def test_what_logind_does_at_a_logout(
    tmp_path: Path, main: str | None, drop_in: str | None, level: str
) -> None:
    assert doctor.of_logind(tmp_path).level == OK, "systemd does not run"
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/logind.conf.d").mkdir(parents=True)
    if main is not None:
        (tmp_path / "etc/systemd/logind.conf").write_text(main)
    if drop_in is not None:
        (tmp_path / "etc/systemd/logind.conf.d/ipc.conf").write_text(drop_in)
    assert doctor.of_logind(tmp_path).level == level


def test_paths_that_others_can_write(tmp_path: Path) -> None:
    weak = tmp_path / "weak"
    weak.mkdir()
    weak.chmod(0o777)
    (found,) = doctor.of_paths(str(weak))
    assert (found.level, found.remedy) == (FAIL, f"chown root {weak} && chmod go-w {weak}")
    assert list(doctor.of_paths(str(tmp_path / "missing"))) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to somebody")
def test_a_link_of_a_user_on_the_way_is_found(tmp_path: Path) -> None:
    real, users, named = (tmp_path / name for name in ("real.toml", "users", "config.toml"))
    real.touch(0o644)
    users.symlink_to(real)
    named.symlink_to(users)
    assert [found.level for found in doctor.of_paths(str(named))] == [OK]
    os.chown(users, 12345, -1, follow_symlinks=False)
    (found,) = doctor.of_paths(str(named))
    assert (found.level, found.remedy) == (FAIL, f"chown -h root {users}")


SENDS: dict[str, Any] = {
    "notices.enabled": True,
    "metrics.listen": "",
    "access.notify_user": "nobody",
    "access.service_user": "mgpu",
}


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({}, OK),
        ({"notices.enabled": False, "metrics.listen": "127.0.0.1:9105"}, OK),
        ({"access.notify_user": "no-such-user"}, FAIL),
        ({"access.notify_user": "root"}, FAIL),
        ({"access.service_user": "nobody"}, FAIL),
    ],
)
def test_the_user_of_notices_and_metrics(change: dict[str, Any], level: str) -> None:
    (found,) = doctor.of_helpers(SENDS | change)
    assert found.level == level
    assert bool(found.remedy) == (level == FAIL)


def test_nobody_has_to_send_what_is_not_sent() -> None:
    assert list(doctor.of_helpers(SENDS | {"notices.enabled": False})) == []


def test_the_configuration_is_read_for_that(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[notices]\nenabled = true\n[access]\nnotify_user = "no-such-user"\n')
    config.chmod(0o600)
    assert [found.level for found in doctor_look._helpers(str(config))] == [FAIL]
    config.write_text("nonsense")
    assert [found.what for found in doctor_look._helpers(str(config))] == ["configuration"]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which nothing is known but its daemon."""
    monkeypatch.setattr(doctor_look, "_machine", lambda *_: [])


@pytest.mark.usefixtures("bare")
def test_what_people_see(run: Run, server: FakeServer, capsys: Capture, golden: Golden) -> None:
    server.answer = lambda _: [{"ok": WELL}]
    assert run(ctl_doctor.doctor) == 0
    golden.check("cli/ctl_doctor.txt", capsys.readouterr().out)
    assert run(ctl_doctor.doctor, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0] == {
        "level": "ok",
        "what": "daemon",
        "text": "version 0.1.0 answers",
        "remedy": "",
    }


@pytest.mark.usefixtures("bare")
def test_no_daemon_is_a_finding(tmp_path: Path, capsys: Capture) -> None:
    assert base.status_of(ctl_doctor.doctor, ["--socket", f"{tmp_path}/none"]) == 1
    assert capsys.readouterr().out.startswith("FAIL  daemon  ")


def test_rules_of_pam_that_do_not_hold_are_named(tmp_path: Path) -> None:
    assert doctor.of_accounts(tmp_path).level == OK
    file = tmp_path / "etc/security/access.conf"
    file.parent.mkdir(parents=True)
    file.write_text("# - : ALL : ALL\n")
    assert doctor.of_accounts(tmp_path).level == OK
    file.write_text("- : students : ALL\n")
    found = doctor.of_accounts(tmp_path)
    assert found.level == WARN
    assert "access.deny" in found.remedy


def test_the_configuration_is_the_one_that_mgpud_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "other.toml"
    config.write_text("nonsense")
    config.chmod(0o666)
    monkeypatch.setenv("MGPU_CONFIG", str(config))
    monkeypatch.setenv("MGPU_RUNTIME_DIR", str(tmp_path))
    found = {finding.what: finding for finding in doctor_look._machine("/run/x.sock", None)}
    assert found[str(config)].level == FAIL, "its mode is judged"
    assert found["configuration"].remedy == f"mgpud check {config} says why"
