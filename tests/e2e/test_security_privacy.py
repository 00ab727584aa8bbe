"""What others see of a user's work, and what text can do to who reads it: checks 53 to 55, 69."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lib import attack, processes
from tests.lib.attack import ask, submission, wire_as
from tests.lib.daemon import Daemon
from tests.lib.users import ROOT, User
from tests.lib.wire import frame

SECRET = "hunter2"
#: Escape, bell, carriage return, line and paragraph separators, bidi overrides, C1, DEL.
HOSTILE = "a\x1b]0;x\x07\r\n\x9b31m\x7f\u2028\u2029\u202e\u2066z"


def listing(user: User, path: Path, **fields: Any) -> list[dict[str, Any]]:
    """The rows that the wire gives ``user``."""
    with wire_as(user, path) as wire:
        parts, end = wire.ask({"op": "jobs", "ended": True, **fields})
    assert "ok" in end, end
    return [
        dict(zip(parts[0]["fields"], row, strict=True)) for part in parts for row in part["rows"]
    ]


def secret_jobs(daemon: Daemon, user: User) -> list[int]:
    """One that runs, one that waits, one that failed; each holds SECRET wherever it can."""
    folder = user.home / SECRET
    folder.mkdir(exist_ok=True)
    os.chown(folder, user.uid, user.gid)
    private: dict[str, Any] = {
        "name": SECRET,
        "env": [f"TOKEN={SECRET}".encode()],
        "output": f"{SECRET}.log".encode(),
        "error": f"{SECRET}.err".encode(),
    }
    cwd = os.fsencode(folder)
    argv = ["/bin/sh", "-c", f"sleep 600 # {SECRET}"]
    running = attack.submit(daemon, user, *argv, gpus=2, cwd=cwd, **private)
    daemon.wait_state(running, "RUNNING")
    waiting = attack.submit(daemon, user, *argv, gpus=2, cwd=cwd, **private)
    failed = attack.submit(daemon, user, *argv, cwd=cwd + b"/missing", **private)
    daemon.wait_state(failed, "LAUNCH_FAILED")
    return [running, waiting, failed]


def test_others_see_no_private_field(daemon: Daemon, alice: User, bob: User, carol: User) -> None:
    """Check 54: in no answer to any question; the owner and administrators see them."""
    jobs = secret_jobs(daemon, alice)
    for user in (bob, carol, ROOT):
        with wire_as(user, daemon.socket) as wire:
            listings: list[dict[str, object]] = [{"ended": True}, {"jobs": jobs}]
            questions = [{"op": "jobs", **fields} for fields in listings]
            questions += [{"op": name, **fields} for name, fields in attack.REQUESTS.items()]
            for request in questions:
                answer = wire.ask(request)
                assert SECRET.encode() not in frame([answer[0], answer[1]])
    rows = {row["id"]: row for row in listing(bob, daemon.socket)}
    assert list(rows) == sorted(jobs)
    for row in rows.values():
        assert (row["user"], row["mine"]) == (alice.name, False)
        assert [row[field] for field in ("name", "command", "cwd")] == [None] * 3
    assert rows[jobs[1]]["reason"] == "Resources"
    for user, path in ((alice, daemon.socket), (carol, daemon.admin_socket)):
        seen = {row["id"]: row for row in listing(user, path)}
        assert all(SECRET in row["command"] and row["name"] == SECRET for row in seen.values())
        assert SECRET in seen[jobs[2]]["detail"]
    assert SECRET in daemon.queue(carol, "--admin")
    assert SECRET in daemon.queue(ROOT)
    assert SECRET not in daemon.queue(carol)


def test_an_open_queue_shows_names_and_commands_but_no_paths(
    make_daemon: Callable[..., Daemon], alice: User, bob: User
) -> None:
    """Check 54: with [privacy] queue = "open"."""
    daemon = make_daemon({"privacy": {"queue": "open"}})
    secret_jobs(daemon, alice)
    for row in listing(bob, daemon.socket):
        assert (row["name"], SECRET in row["command"], row["cwd"]) == (SECRET, True, None)
        assert SECRET not in row["detail"]


def test_no_process_of_mgpu_shows_what_users_sent(daemon: Daemon, alice: User) -> None:
    """Check 55: command lines, environments and names of launcher, scheduler, supervisors."""
    jobs = secret_jobs(daemon, alice)
    script = alice.home / "job.sh"
    script.write_text(f"#!/bin/sh\n# {SECRET}\nexec sleep 601\n")
    jobs.append(daemon.submit(alice, "--gpus", "0", "./job.sh", SECRET))
    daemon.wait_state(jobs[-1], "RUNNING")
    of_users = {process.pid for process in processes.of_user(alice.uid)}
    ours = [pid for pid in descendants(daemon.pid) if pid not in of_users]
    assert len(ours) >= 4, "launcher, scheduler, two supervisors"
    for pid in ours:
        for name in ("cmdline", "environ", "comm"):
            assert SECRET.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert SECRET not in daemon.log()


def descendants(pid: int) -> list[int]:
    """``pid`` and what it, or a child of it, has started."""
    found = [pid]
    everything = processes.running().values()
    for parent in found:
        found += [process.pid for process in everything if process.parent == parent]
    return found


def test_hostile_text_is_shown_and_does_nothing(daemon: Daemon, alice: User) -> None:
    """Check 53: name, command, folder and error text, in every human view; JSON keeps them."""
    folder = alice.home / HOSTILE.replace("/", "")
    for cwd in (b"/", os.fsencode(folder)):
        attack.submit(daemon, alice, HOSTILE, name=HOSTILE, cwd=cwd, gpus=0)
    daemon.wait_state(2, "LAUNCH_FAILED")
    everything = "%i %j %u %t %r %Z %o"
    views = [
        daemon.queue(alice, "--all"),
        daemon.queue(alice, "--all", "--format", everything),
        daemon.command(alice, ["mgpu_info"]).stdout,
        daemon.srun(alice, "--output", HOSTILE, "--wait", "--", "true").stderr,
        daemon.srun(alice, "--name", HOSTILE * 20, "--", "true").stderr,
        daemon.cancel(alice, HOSTILE).stderr,
    ]
    for view in views:
        bad = {char for char in view if not (char.isprintable() or char == "\n")}
        assert not bad, view
    shown = json.loads(daemon.queue(alice, "--all", "--json"))["jobs"]
    assert shown[0]["name"] == HOSTILE
    assert shown[1]["cwd"] == str(folder)


TEXTS = [
    "'; DROP TABLE jobs; --",
    '"',
    "%",
    "_",
    "a%",
    "\\",
    "`",
    "$(id)",
    "x' OR '1'='1",
    "é\u0301",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_stored_and_matched_literally(daemon: Daemon, alice: User, text: str) -> None:
    """Check 69: in names, request keys and filters."""
    request = {**submission(name=text), "key": text}
    first = ask(alice, daemon.socket, request)["ok"]["first"]
    assert ask(alice, daemon.socket, request)["ok"]["first"] == first, "the key was kept"
    other = {**submission(name="other"), "key": f"{text}x"}
    second = ask(alice, daemon.socket, other)["ok"]["first"]
    assert second == first + 1
    daemon.wait_state(second, "COMPLETED")
    assert [row["name"] for row in listing(alice, daemon.socket)] == [text, "other"]
    assert listing(alice, daemon.socket, users=[text]) == []
    assert len(listing(alice, daemon.socket, users=[text, alice.name])) == 2
    assert daemon.job(first)["state"] == "COMPLETED"


def test_a_nul_is_refused_wherever_text_is_stored(daemon: Daemon, alice: User) -> None:
    """Check 69: sqlite would keep it and measure the text without it."""
    fields: list[dict[str, Any]] = [
        {"name": "a\0b"},
        {"script": b"#!/bin/sh\n", "script_name": "a\0b"},
        *({field: [b"a\0b"]} for field in ("argv", "env")),
        *({field: b"/a\0b"} for field in ("cwd", "output", "error")),
    ]
    requests = [submission(**given) for given in fields]
    requests += [{**submission(), "key": "a\0b"}, {"op": "jobs", "users": ["a\0b"]}]
    for request in requests:
        assert ask(alice, daemon.socket, request)["error"]["code"] == "BadRequest", request
