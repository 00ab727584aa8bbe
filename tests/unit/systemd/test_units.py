"""The units of systemd: accepted by systemd, and without what a job would inherit and break on."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "systemd"
UNITS = ["mgpu.service", "mgpu-jobs.service", "mgpu.socket", "mgpu-admin.socket"]

#: Options that jobs, being descendants of the launcher, would inherit.
FORBIDDEN = {
    *("NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities", "SecureBits", "User"),
    *("ProtectHome", "ProtectSystem", "PrivateTmp", "PrivateDevices", "PrivateUsers"),
    *("PrivateNetwork", "PrivateMounts", "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths"),
    *("BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem", "RootDirectory", "RootImage"),
    *("DevicePolicy", "DeviceAllow", "ProtectClock", "ProtectKernelTunables", "ProtectHostname"),
    *("ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectProc"),
    *("ProcSubset", "MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictSUIDSGID"),
    *("RestrictRealtime", "RestrictAddressFamilies", "LockPersonality", "SystemCallFilter"),
    *("SystemCallArchitectures", "SystemCallLog", "IPAddressDeny", "IPAddressAllow"),
    *("DynamicUser", "MemoryMax", "CPUQuota", "ProtectKernelLogs", "KeyringMode"),
}


def options(name: str) -> dict[str, str]:
    text = (FOLDER / name).read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def test_no_option_that_a_job_would_inherit_and_break_on() -> None:
    assert not FORBIDDEN & set(options("mgpu.service"))
    assert not FORBIDDEN & set(options("mgpu-jobs.service"))


def test_stopping_the_service_leaves_jobs_and_their_sockets() -> None:
    service = options("mgpu.service")
    assert service["KillMode"] == "process"
    assert service["RuntimeDirectoryPreserve"] == "yes"


@pytest.mark.parametrize("name", UNITS)
def test_nothing_stays_down_because_it_was_started_often(name: str) -> None:
    assert options(name)["StartLimitIntervalSec"] == "0"


def test_both_services_name_one_control_group_for_jobs() -> None:
    wanted = "MGPU_PATHS_CGROUP=system.slice/mgpu-jobs.service"
    assert options("mgpu.service")["Environment"] == wanted
    assert options("mgpu-jobs.service")["Environment"] == wanted
    assert options("mgpu-jobs.service")["Delegate"] == "yes"


@pytest.mark.parametrize("name", ["mgpu.service", "mgpu-jobs.service"])
def test_a_process_that_the_kernel_ends_for_want_of_memory_is_not_the_end_of_all(name: str) -> None:
    assert options(name)["OOMPolicy"] == "continue"


def test_jobs_outlive_the_process_that_holds_their_unit() -> None:
    assert options("mgpu-jobs.service")["ExitType"] == "cgroup"


def test_what_cannot_get_better_by_itself_is_not_tried_again() -> None:
    assert options("mgpu.service")["RestartPreventExitStatus"].split() == ["77", "78"]


def test_no_hard_limit_is_set_below_what_a_submitter_can_have() -> None:
    limits = {k: v for k, v in options("mgpu.service").items() if k.startswith("Limit")}
    hard = {name: value.rpartition(":")[2] for name, value in limits.items()}
    assert hard.pop("LimitNOFILE") == "1048576"
    assert set(hard.values()) == {"infinity"}


def test_one_user_cannot_have_all_processes_there_can_be() -> None:
    """The limit is for all jobs of a user together; without one here it is the kernel's."""
    assert "LimitNPROC" not in options("mgpu.service")


def test_users_and_administrators_have_a_socket_each() -> None:
    users, admins = options("mgpu.socket"), options("mgpu-admin.socket")
    assert (users["SocketMode"], users["FileDescriptorName"]) == ("0666", "user")
    assert (admins["SocketMode"], admins["SocketGroup"]) == ("0660", "mgpu-admin")
    assert admins["FileDescriptorName"] == "admin"
    assert {users["ListenStream"], admins["ListenStream"]} == {
        "/run/mgpu/mgpu.sock",
        "/run/mgpu/admin.sock",
    }


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze")
    for name in UNITS:
        text = (FOLDER / name).read_text().replace("/usr/bin/mgpud", "/bin/true")
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in UNITS]
    done = subprocess.run([analyze, "verify", "--man=no", *paths], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
