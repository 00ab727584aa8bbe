"""Two packages: what an earlier version runs and has stored goes on under this one, and back.

The earlier one is built from the last commit before the database's schema became what it is.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mgpu.store.schema import VERSION
from tests.lib.docs import ROOT
from tests.lib.golden import FOLDER
from tests.lib.machine import Machine, build
from tests.lib.waiting import eventually
from tests.machine.conftest import serving
from tests.machine.test_life import edit, repacked, site

pytestmark = pytest.mark.slow

SCHEMA = "mgpu/store/schema.py"
STATE = "/var/lib/mgpu"
#: Waits for a word, and ends with a code of its own.
AWAITS = '-- sh -c "mkfifo p; read x < p; exit 7"'  # job


def git(*words: str) -> str:
    command = ["git", "-c", "safe.directory=*", *words]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def commit_before() -> str:
    """The last commit whose schema has an earlier version."""
    try:
        found = git("log", "--format=%H", f"-SVERSION: Final = {VERSION}", "--", SCHEMA).split()
        return git("rev-parse", "--verify", f"{found[-1]}^").strip()
    except (subprocess.CalledProcessError, IndexError):
        pytest.skip("the history of the source is not here")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of an earlier version: of its own source, by the scripts of this one."""
    folder, commit = tmp_path_factory.mktemp("older"), commit_before()
    source = folder / "source"
    git("clone", "-q", "--no-checkout", str(ROOT), str(source))
    git("-C", str(source), "checkout", "-q", commit)
    shutil.rmtree(source / "scripts")
    shutil.copytree(ROOT / "scripts", source / "scripts")
    built = build("deb", source, folder / "dist")

    def number(tree: Path) -> None:
        edit(site(tree) / "__init__.py", '__version__ = "', '__version__ = "0.0.')

    return repacked(built, folder, number, "0.0.1-1")


def version_of_state(machine: Machine) -> int:
    look = f"""import sqlite3
state = sqlite3.connect("file:{STATE}/mgpu.db?mode=ro", uri=True)
print(*state.execute("PRAGMA user_version").fetchone())"""
    return int(machine.ok("python3", "-c", look))


def copies(machine: Machine) -> list[str]:
    """The copies that upgrades have made."""
    return machine.shell(f"cd {STATE} && ls -d mgpu.db.v* 2>/dev/null || true").split()


@pytest.fixture
def upgraded(boot: Callable[[str], Machine], older: Path, deb: Path) -> Machine:
    """A machine on which the earlier version ran jobs 1 to 4, and this one took over."""
    machine = serving(boot("upgraded"), older)
    assert "0.0." in machine.ok("mgpud", "--version")
    for user in ("alice", "bob"):
        job = machine.submit(user, f"--gpus 1 {AWAITS}")
        machine.wait(job, "RUNNING")
    machine.submit("alice", "--hold --gpus 1 --array 1-3 --name held -- true")
    waiting = machine.begin("bob", "mgpu_srun --wait --gpus 1 -- sh -c 'exit 3'")
    eventually(lambda: len(machine.as_user("bob", "mgpu_queue --me --no-header").splitlines()) == 2)
    pids = [machine.pid_of(job) for job in (1, 2)]
    assert "does not start" not in machine.install(deb)
    assert "0.0." not in machine.ok("mgpud", "--version")
    assert [machine.pid_of(job) for job in (1, 2)] == pids
    machine.as_user("alice", "echo go > p")
    assert machine.wait(1, "FAILED")["code"] == 7
    assert waiting.wait(30) == 3
    return machine


def test_jobs_and_state_of_an_earlier_package_go_on(upgraded: Machine) -> None:
    earlier = VERSION - 1
    assert version_of_state(upgraded) == VERSION
    (copy,) = copies(upgraded)
    assert copy.startswith(f"mgpu.db.v{earlier}.")
    assert upgraded.job(2)["attempt"] == 1
    upgraded.as_user("bob", "mgpu_cancel 2")
    upgraded.wait(2, "CANCELLED")
    upgraded.as_user("alice", "mgpu_job release 3")
    tasks = "mgpu_queue --all --name held --no-header --format %T"
    done = ["COMPLETED"] * 3
    eventually(lambda: upgraded.as_user("alice", tasks).split(), until=lambda seen: seen == done)
    assert "alice" in upgraded.ok("mgpu_stats", "--by", "user")
    upgraded.ok("mgpu_ctl", "db", "check")
    assert "Traceback" not in upgraded.log()


def test_back_to_the_earlier_package(upgraded: Machine, older: Path) -> None:
    pid = upgraded.pid_of(2)
    done = upgraded.install(older)
    assert "the service does not start" in done
    (line,) = [one for one in upgraded.log().splitlines() if "state-unusable" in one]
    assert f"the state has version {VERSION}" in line
    assert version_of_state(upgraded) == VERSION
    assert upgraded.run("kill", "-0", str(pid)).returncode == 0
    (copy,) = copies(upgraded)
    upgraded.ok("systemctl", "stop", "mgpu.socket", "mgpu-admin.socket", "mgpu")
    upgraded.ok("mgpu_ctl", "db", "restore", f"{STATE}/{copy}")
    assert version_of_state(upgraded) == VERSION - 1
    upgraded.ok("systemctl", "start", "mgpu.socket", "mgpu-admin.socket", "mgpu")
    row = upgraded.wait(2, "RUNNING")
    assert (row["attempt"], upgraded.pid_of(2)) == (1, pid)
    upgraded.as_user("bob", "echo go > p")
    assert upgraded.wait(2, "FAILED")["code"] == 7


def test_a_stored_state_of_every_version_is_served(fresh: Machine) -> None:
    for version in range(1, VERSION):
        fresh.ok("systemctl", "stop", "mgpu.socket", "mgpu-admin.socket", "mgpu", "mgpu-jobs")
        fresh.shell(f"rm -rf {STATE}/*")
        fresh.put(FOLDER / f"state/v{version}.db", f"{STATE}/mgpu.db")
        fresh.shell(f"chown mgpu:mgpu {STATE}/mgpu.db && chmod 600 {STATE}/mgpu.db")
        fresh.ok("systemctl", "start", "mgpu.socket", "mgpu-admin.socket", "mgpu")
        assert fresh.ok("mgpu_queue", "--all", "--jobs", "7", "--no-header")
        assert version_of_state(fresh) == VERSION
        assert [copy.partition(".v")[2][0] for copy in copies(fresh)] == [str(version)]
        fresh.ok("mgpu_ctl", "db", "check")
    assert "Traceback" not in fresh.log()
