"""``mgpud`` before it becomes the launcher."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import msgpack
import pytest
from click.testing import CliRunner

import mgpu
from mgpu.cli import mgpud, mgpud_run
from mgpu.config.load import Resolved


class Executed(Exception):
    """What ``execv`` would have run."""


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The command that replaced the process, and the settings it was given."""
    seen: list[Any] = []

    def execv(program: str, command: list[str]) -> None:
        with os.fdopen(int(command[5]), "rb") as file:
            file.seek(0)
            seen.extend([program, command, msgpack.unpackb(file.read())])
        raise Executed

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(mgpud_run, "_is_root", lambda: True)
    return seen


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.toml"
    path.write_text("[scheduling]\nmax_job_time = 10\nkill_grace = 11\n")
    path.chmod(0o644)
    return str(path)


def run(*args: str) -> Any:
    return CliRunner().invoke(mgpud.main, list(args), env={"MGPU_CONFIG": None})


def test_the_launcher_is_a_fresh_isolated_interpreter(executed: list[Any], config: str) -> None:
    result = run("--config", config)
    assert isinstance(result.exception, Executed)
    program, command, _ = executed
    assert command[:4] == [program, "-I", "-S", "-c"]
    root = str(Path(mgpu.__file__).resolve().parent.parent)
    assert f"sys.path += ['{root}'" in command[4]
    assert command[4].endswith(
        "from mgpu.privileged.launcher import main; main(*map(int, sys.argv[1:]))"
    )


@pytest.mark.parametrize("words", [[], ["check"], ["init"], ["end-jobs"]])
def test_help_has_a_short_option(words: list[str]) -> None:
    result = run(*words, "-h")
    assert result.exit_code == 0, result.output
    assert result.output == run(*words, "--help").output


@pytest.mark.parametrize("words", [["check"], ["init", "--yes"]])
def test_an_empty_name_is_not_the_file_that_is_meant_without_one(
    words: list[str], tmp_path: Path
) -> None:
    there = tmp_path / "config.toml"
    result = CliRunner().invoke(mgpud.main, [*words, ""], env={"MGPU_CONFIG": str(there)})
    assert result.exit_code == 2
    assert "the name is empty" in result.output
    assert not there.exists()


def test_the_launcher_is_told_the_file_that_decided(executed: list[Any], config: str) -> None:
    run("--config", config)
    assert executed[2]["config.path"] == config


def test_flags_come_before_the_file(executed: list[Any], config: str) -> None:
    flags = {
        "--max-job-time": "1h",
        "--runtime-dir": "/run/a",
        "--state-dir": "/var/lib/a",
        "--log-level": "debug",
        "--gpus-backend": "simulated",
        "--gpus": "0-1,3",
    }
    run("--config", config, *(word for pair in flags.items() for word in pair))
    settings = executed[2]
    assert settings["scheduling.max_job_time"] == 3600
    assert settings["scheduling.kill_grace"] == 11
    assert settings["paths.runtime_dir"] == "/run/a"
    assert settings["paths.state_dir"] == "/var/lib/a"
    assert settings["log.level"] == "debug"
    assert settings["gpus.backend"] == "simulated"
    assert settings["gpus.devices"] == [0, 1, 3]


def test_a_wrong_flag_is_named(executed: list[Any], config: str) -> None:
    result = run("--config", config, "--max-job-time", "soon")
    assert result.exit_code == 78
    assert result.output.startswith('mgpud: command line: scheduling.max_job_time: "soon" is not')
    assert not executed


def test_only_root_can_run_it(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mgpud_run, "resolve", lambda *_: Resolved({}, {}))
    monkeypatch.setattr(mgpud_run, "_is_root", lambda: False)
    result = run("--config", config)
    assert result.exit_code == 1
    assert "must be started by root" in result.output
    assert "sudo mgpud" in result.output


def test_the_version() -> None:
    assert run("--version").output == f"mgpud, version {mgpu.__version__}\n"


def test_the_help_names_every_flag_and_command() -> None:
    text = run("--help").output
    assert all("--" + name.replace("_", "-") in text for name in mgpud.FLAGS)
    assert "check" in text


@pytest.mark.parametrize("command", ["end-jobs", "hold-jobs"])
@pytest.mark.parametrize("wrong", ["nonsense =\n", "[scheduling]\nkill_grace = -1\n"])
def test_jobs_are_held_and_ended_whatever_is_wrong_with_the_configuration(
    executed: list[Any], command: str, wrong: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[paths]\nstate_dir = "/var/lib/a"\n' + wrong)
    config.chmod(0o644)
    result = run("--config", str(config), command)
    assert isinstance(result.exception, Executed)
    assert str(config) in result.output
    assert executed[2]["paths.state_dir"] == ("/var/lib/a" if "[" in wrong else "/var/lib/mgpu")


HOOKS = """
[notices]
allow_hosts = ["10.0.0.2"]
[[notices.webhooks]]
name = "near"
url = "http://10.0.0.1/x?key"
[[notices.webhooks]]
name = "allowed"
url = "http://10.0.0.2/"
[[notices.webhooks]]
name = "hidden"
url = "@/etc/mgpu/url"
[[notices.webhooks]]
name = "inside"
url = "https://wiki.example.org/x"
[[notices.webhooks]]
name = "unknown"
url = "https://nowhere.example.org/x"
[[notices.webhooks]]
name = "misspelled"
url = "https://hooks..example.org/x"
[[notices.webhooks]]
name = "public"
url = "https://hooks.example.org/x"
"""
ADDRESSES = {"wiki.example.org": "192.168.7.7", "hooks.example.org": "9.9.9.9"}


def test_webhooks_that_would_be_refused_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolved(host: str, _port: None) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        host.encode("idna")  # as the real one does
        if host not in ADDRESSES:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(2, 1, 6, "", (ADDRESSES[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    path = tmp_path / "config.toml"
    path.write_text(HOOKS)
    path.chmod(0o600)
    result = CliRunner().invoke(mgpud.main, ["check"], env={"MGPU_CONFIG": str(path)})
    assert result.exit_code == 0, result.output
    notes = [line for line in result.output.splitlines() if "notices.webhooks" in line]
    gone, near, hidden, inside, unknown, misspelled = notes
    assert "there is no file /etc/mgpu/url" in gone
    assert '"near": 10.0.0.1 is no host of the open Internet' in near
    assert 'add "10.0.0.1" to notices.allow_hosts' in near
    assert '"hidden": its URL is in a file, which was not looked at' in hidden
    assert '"inside": wiki.example.org has no public address (192.168.7.7)' in inside
    assert '"unknown": whether nowhere.example.org has a public address was not checked' in unknown
    assert '"misspelled": whether hooks..example.org has a public address was not' in misspelled
    assert "key" not in result.output, "what follows the host can be a secret"


@pytest.mark.parametrize(
    ("host", "security", "noted"),
    [("mail.example.org", "none", True), ("mail.example.org", "tls", False),
     ("127.0.0.1", "none", False)],
)  # fmt: skip
def test_a_password_that_everybody_could_read_is_noted(
    tmp_path: Path, host: str, security: str, noted: bool
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        f'[notices]\nsmtp_host = "{host}"\nsmtp_security = "{security}"\nsmtp_user = "mgpu"\n'
    )
    path.chmod(0o600)
    output = run("check", str(path)).output
    assert ("notices.smtp_security: the password is sent to" in output) == noted


def test_files_that_notices_need_are_looked_at(tmp_path: Path) -> None:
    for name, mode in (("good", 0o600), ("open", 0o644)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    path = tmp_path / "config.toml"
    path.write_text(
        f'[notices]\nsmtp_password = "@{tmp_path}/open"\nca_file = "{tmp_path}/ca"\n'
        f'[[notices.webhooks]]\nname = "a"\nurl = "@{tmp_path}/good"\n'
        f'headers = {{ X = "@{tmp_path}/gone" }}\n'
    )
    path.chmod(0o600)
    output = run("check", str(path)).output
    assert f"{path}:2: notices.smtp_password: {tmp_path}/open must be a file that root" in output
    assert f"notices.ca_file: there is no file {tmp_path}/ca" in output
    assert f"notices.webhooks: there is no file {tmp_path}/gone" in output
    assert f"{tmp_path}/good" not in output


@pytest.mark.parametrize(
    ("place", "good"),
    [("127.0.0.1:9105", True), ("[::1]:9105", True), ("", True), ("127.0.0.1:99999", False),
     ("127.0.0.1:0", False), ("999.0.0.1:80", False), ("[::zz]:80", False), ("::1:80", False),
     ("localhost:80", False)],
)  # fmt: skip
def test_where_metrics_can_be_served(tmp_path: Path, place: str, good: bool) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[metrics]\nlisten = "{place}"\n')
    path.chmod(0o600)
    result = run("check", str(path))
    assert (result.exit_code == 0) == good, result.output
