"""Who a caller is and what it may do: checks 1 to 10 of the security requirements."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lib import attack
from tests.lib.attack import REQUESTS, ask, submission, wire_as
from tests.lib.daemon import Daemon
from tests.lib.users import ROOT, User, make, run_as
from tests.lib.waiting import eventually
from tests.lib.wire import frame

FORGERIES: list[tuple[str, Any]] = [
    ("uid", 0),
    ("user", "root"),
    ("user", ""),
    ("gid", 0),
    ("admin", True),
    ("euid", 0),
]


@pytest.mark.parametrize("operation", [*REQUESTS, "submit"])
def test_forged_fields_change_nothing(refusing: Daemon, alice: User, operation: str) -> None:
    """Check 1: every verb refuses fields that claim an identity; nothing comes of it."""
    with wire_as(alice, refusing.socket) as wire:
        for field, value in FORGERIES:
            request = {"op": operation, **REQUESTS.get(operation, submission()), field: value}
            error = wire.ask(request)[1]["error"]
            assert (error["code"], f'"{field}"' in error["message"]) == ("BadRequest", True), error
        for field, value in FORGERIES:
            error = wire.ask(submission(**{field: value}))[1]["error"]
            assert (error["code"], error["path"]) == ("BadRequest", "spec")
            assert f'"{field}"' in error["message"]
    assert refusing.jobs("--all") == []


def test_a_job_is_its_senders_whatever_the_environment_says(daemon: Daemon, alice: User) -> None:
    """Check 1: USER, LOGNAME and HOME of root in a client's environment make nobody root."""
    liar = {"USER": "root", "LOGNAME": "root", "HOME": "/"}
    job = daemon.submit(alice, "-o", f"{alice.home}/id.out", "--", "id", "-un", env=liar)
    assert daemon.wait_state(job, "COMPLETED")["user"] == alice.name
    assert (alice.home / "id.out").read_text().splitlines()[-1] == alice.name


RAW = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    sock.sendall(bytes.fromhex(sys.argv[2]))
    heard = b""
    while b"first" not in heard and b"error" not in heard:
        heard += sock.recv(65536)
"""


def test_root_of_a_user_namespace_is_the_user_outside(daemon: Daemon, alice: User) -> None:
    """Check 2: the kernel tells the uid as it is for the daemon, not as it is in the namespace."""
    said = frame({"mgpu": [1, 1]}) + frame(submission("/usr/bin/id", "-u"))

    def run(path: Path) -> subprocess.CompletedProcess[str]:
        python = ["/usr/bin/python3", "-I", "-c", RAW, str(path), said.hex()]
        return run_as(alice, ["unshare", "-Ur", "sh", "-c", 'id -u >&2; exec "$@"', "sh", *python])

    done = run(daemon.socket)
    assert done.stderr == "0\n", "it is root in there"
    (row,) = eventually(lambda: daemon.jobs("--all"))
    assert row["user"] == alice.name
    daemon.wait_state(row["id"], "COMPLETED")
    assert "PermissionError" in run(daemon.admin_socket).stderr


def test_the_admin_socket_is_closed_by_the_kernel(daemon: Daemon, alice: User, carol: User) -> None:
    """Check 3: owner and mode of both sockets; who may connect to which."""
    found = daemon.admin_socket.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o660)
    assert found.st_gid in os.getgrouplist(carol.name, carol.gid)
    assert daemon.socket.stat().st_mode & 0o777 == 0o666
    assert stat.S_IMODE(daemon.runtime.stat().st_mode) == 0o755
    with pytest.raises(PermissionError):
        wire_as(alice, daemon.admin_socket)
    for user in (carol, ROOT):
        for path in (daemon.socket, daemon.admin_socket):
            assert "ok" in ask(user, path, {"op": "ping"})


def test_a_group_can_have_the_users_socket_to_itself(
    make_daemon: Callable[..., Daemon], alice: User, bob: User
) -> None:
    """Check 3: with access.group set, the kernel keeps everybody else out."""
    subprocess.run(["groupadd", "--force", "gpu-users"], check=True)
    subprocess.run(["usermod", "-aG", "gpu-users", alice.name], check=True)
    daemon = make_daemon({"access": {"group": "gpu-users"}})
    assert "ok" in ask(alice, daemon.socket, {"op": "ping"})
    with pytest.raises(PermissionError):
        wire_as(bob, daemon.socket)
    done = daemon.srun(bob, "--", "true")
    assert (done.returncode, "may not connect" in done.stderr) == (1, True)


def anonymous(answer: tuple[list[Any], dict[str, Any]], job: int) -> str:
    return repr(answer).replace(str(job), "N")


@pytest.mark.parametrize("operation", ["cancel", "wait", "priority", "hold", "release"])
def test_a_job_of_another_user_is_as_one_that_does_not_exist(
    daemon: Daemon, alice: User, bob: User, carol: User, operation: str
) -> None:
    """Check 4: the same text, also for an administrator or root on the users' socket."""
    running = attack.submit(daemon, alice, "/bin/sleep", "600", gpus=2)
    waiting = attack.submit(daemon, alice, gpus=2)
    daemon.wait_state(running, "RUNNING")
    for user in (bob, carol, ROOT):
        for job in (running, waiting):
            request = {"op": operation, **REQUESTS[operation]}
            with wire_as(user, daemon.socket) as wire:
                denied = wire.ask({**request, "jobs": [job]})
                unknown = wire.ask({**request, "jobs": [4711]})
            assert anonymous(denied, job) == anonymous(unknown, 4711)
    assert [daemon.job(job)["state"] for job in (running, waiting)] == ["RUNNING", "PENDING"]
    assert daemon.job(waiting)["priority"] == 0


def test_an_ended_job_of_another_user_is_unknown_too(
    daemon: Daemon, alice: User, bob: User
) -> None:
    """Check 4: an answer does not tell that a job of somebody has ended, either."""
    job = attack.submit(daemon, alice)
    daemon.wait_state(job, "COMPLETED")
    with wire_as(bob, daemon.socket) as wire:
        for operation in ("cancel", "wait", "priority", "hold", "release"):
            request = {"op": operation, **REQUESTS[operation]}
            denied = wire.ask({**request, "jobs": [job]})
            assert anonymous(denied, job) == anonymous(wire.ask({**request, "jobs": [4711]}), 4711)


def test_an_unknown_operation_is_refused(daemon: Daemon, alice: User, carol: User) -> None:
    """Check 5: at run time too; the table itself is held by tests/unit/core/test_access.py."""
    for user, path in ((alice, daemon.socket), (carol, daemon.admin_socket)):
        for operation in ("", "exec", "start", "kill", "__init__", "Submit"):
            error = ask(user, path, {"op": operation, "uid": 0})["error"]
            assert error["code"] == "BadRequest"


def test_an_administrator_submits_as_nobody_else(daemon: Daemon, carol: User, alice: User) -> None:
    """Check 6: on the admin socket a submission is the administrator's own."""
    for field in ("uid", "user", "as", "owner"):
        for request in (
            {**submission(), field: alice.name},
            submission(**{field: alice.uid}),
        ):
            assert ask(carol, daemon.admin_socket, request)["error"]["code"] == "BadRequest"
    with wire_as(carol, daemon.admin_socket) as wire:
        job = wire.ask(submission())[1]["ok"]["first"]
    assert daemon.wait_state(job, "COMPLETED")["user"] == carol.name


def test_accounts_that_may_not_submit(daemon: Daemon, alice: User) -> None:
    """Check 7: root, a system account, one without a shell, an expired one, one without a name."""
    low = make("lowuid", "--uid", "900")
    shell = make("noshell", "--shell", "/usr/sbin/nologin")
    old = make("expired", "--expiredate", "2020-01-01")
    nobody = User("alice", 54321, 54321, alice.home)  # an id without an account
    words = {ROOT: "root", low: "900", shell: "nologin", old: "expired", nobody: "no account"}
    for user, word in words.items():
        error = ask(user, daemon.socket, submission())["error"]
        assert error["code"] == "AccountRefused"
        assert word in error["message"]
        assert error["hint"]
    assert daemon.jobs("--all") == []


def test_root_may_submit_where_the_configuration_says_so(
    make_daemon: Callable[..., Daemon],
) -> None:
    """Check 7: refused "unless configured"."""
    daemon = make_daemon({"access": {"allow_root": True}})
    assert daemon.wait_state(attack.submit(daemon, ROOT), "COMPLETED")["user"] == "root"


def test_an_account_that_expires_while_its_job_waits(daemon: Daemon) -> None:
    """Check 7: refused at the start as well; the job waits, says why, and runs when it may."""
    dave = make("dave")
    marker = dave.home / "ran"
    blocker = attack.submit(daemon, dave, "/bin/sleep", "600", gpus=2)
    job = attack.submit(daemon, dave, "/bin/touch", str(marker), gpus=2)
    subprocess.run(["chage", "-E", "2020-01-01", "dave"], check=True)
    assert daemon.cancel(dave, str(blocker)).returncode == 0
    row = eventually(lambda: daemon.job(job), until=lambda row: row["reason"] == "InvalidAccount")
    assert row["state"] == "PENDING"
    assert "expired" in daemon.queue(dave, "--json", "--jobs", str(job))
    assert not marker.exists()
    subprocess.run(["chage", "-E", "-1", "dave"], check=True)
    daemon.wait_state(job, "COMPLETED")
    assert marker.exists()


def test_a_client_gives_nothing_to_a_socket_of_another_user(
    daemon: Daemon, alice: User, bob: User
) -> None:
    """Check 9: the server is neither root nor the service user: not one byte is sent."""
    folder = Path("/run/trap")
    folder.mkdir(mode=0o755)
    os.chown(folder, bob.uid, bob.gid)
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as trap:
        with attack.effective(bob):  # whoever calls listen() is whom the kernel tells
            trap.bind(str(folder / "mgpu.sock"))
            trap.listen()
        os.chmod(folder / "mgpu.sock", 0o666)

        def serve() -> None:
            client, _ = trap.accept()
            with client:
                client.settimeout(5)
                heard.append(client.recv(1))

        thread = threading.Thread(target=serve)
        thread.start()
        done = daemon.srun(alice, "--", "true", env={"MGPU_RUNTIME_DIR": str(folder)})
        thread.join()
    assert done.returncode == 69
    assert f"uid {bob.uid}" in done.stderr
    assert heard == [b""]


def audit(daemon: Daemon, user: User) -> list[str]:
    """The audit lines of ``user`` so far."""
    asked = [line for line in daemon.log().splitlines() if line.startswith("INFO request ")]
    lines = [line for line in asked if f" uid={user.uid} " in line]
    return [line.partition("action=")[2] for line in lines]


def test_every_change_that_is_asked_for_leaves_one_line(
    daemon: Daemon, alice: User, bob: User, carol: User
) -> None:
    """Check 10: uid, verb, job and result, allowed or denied."""
    job = attack.submit(daemon, alice, "/bin/sleep", "600", gpus=2)
    ask(bob, daemon.socket, {"op": "cancel", "jobs": [job]})
    ask(bob, daemon.socket, {"op": "priority", "jobs": [job], "priority": -5})
    ask(carol, daemon.admin_socket, {"op": "cancel", "jobs": [job]})
    ask(bob, daemon.socket, submission(gpus=99))
    ask(ROOT, daemon.socket, submission())
    assert audit(daemon, alice) == [f"submit uid={alice.uid} jobs={job} result=ok"]
    assert audit(daemon, bob) == [
        f"cancel uid={bob.uid} jobs={job} result=unknown",
        f"priority uid={bob.uid} jobs={job} result=unknown",
        f"submit uid={bob.uid} jobs=- result=Refused",
    ]
    assert audit(daemon, carol) == [f"cancel uid={carol.uid} jobs={job} result=cancelling"]
    assert audit(daemon, ROOT) == ["submit uid=0 jobs=- result=AccountRefused"]


def test_no_text_of_a_user_begins_a_line_of_the_log(daemon: Daemon, alice: User) -> None:
    """Check 10: control characters in what users send are written out, if they are written."""
    evil = "x\nINFO forged action=cancel uid=0 jobs=1 result=ok\x1b[31m"
    attack.submit(daemon, alice, evil, name=evil, cwd=evil.encode().join([b"/", b""]))
    ask(alice, daemon.socket, {"op": evil})
    ask(alice, daemon.socket, {"op": "cancel", evil: 1})
    eventually(lambda: daemon.jobs("--all")[0]["state"], until=lambda state: state != "RUNNING")
    log = daemon.log()
    assert "\x1b" not in log
    assert not [line for line in log.splitlines() if line.startswith("INFO forged")]
