"""Other notices while the daemon runs: nothing that is due is lost, nothing is sent twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.lib.daemon import Daemon
from tests.lib.receivers import WebServer
from tests.lib.senders import helper, notices
from tests.lib.users import ROOT, User
from tests.lib.waiting import eventually, never

MakeDaemon = Callable[..., Daemon]


def reload(daemon: Daemon, config: dict[str, dict[str, object]]) -> str:
    """Apply another configuration; what the command says."""
    daemon.configure(config)
    done = daemon.command(ROOT, ["mgpu_ctl", "reload"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_reload_applies_notices_and_breaks_nothing_off(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    secret = Path("/etc/mgpu-test-secret")
    secret.write_text("old\n")
    secret.chmod(0o600)
    hook = {"name": "a", "url": web.url("/a"), "headers": {"X-Token": f"@{secret}"}}
    ends = {"events": ["job_completed"]}
    web.behave("/slow", "hang")
    web.behave("/later", "503", "ok")
    daemon = make_daemon(notices(timeout=8, webhooks=[{**hook, **ends}]))
    before = helper(daemon)
    assert before is not None
    slow = daemon.submit(alice, "--notify", web.url("/slow"), "--", "true")
    later = daemon.submit(alice, "--notify", web.url("/later"), "--", "true")
    eventually(lambda: "a notice was not taken" in daemon.log() and web.of("/slow"))
    secret.write_text("new\n")
    hooks = [{**hook, **ends}, {"name": "b", "url": web.url("/b"), **ends}]
    told = reload(daemon, notices(timeout=8, webhooks=hooks))
    assert told == "Applied: notices.webhooks\n"
    job = daemon.submit(alice, "--", "true")
    eventually(lambda: len(web.of("/b")), until=lambda count: count == 1)
    eventually(lambda: [post.headers["x-token"] for post in web.of("/a")],
               until=lambda seen: seen == ["old", "old", "new"])  # fmt: skip
    assert web.of("/b")[0].json["job"]["id"] == str(job)
    eventually(lambda: len(web.of("/later")), until=lambda count: count == 2, timeout=20)
    ids = {post.json["job"]["id"] for post in (*web.of("/slow"), *web.of("/later"))}
    assert ids == {str(slow), str(later)}
    after = helper(daemon)
    assert after is not None
    assert after.pid == before.pid, "the process that sends goes on"
    assert len(web.of("/slow")) == 1, "what is under way is sent once"
    secret.unlink()


def test_a_reload_begins_and_ends_notices(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    ends = {"name": "a", "url": web.url("/a"), "events": ["job_completed"]}
    web.behave("/due", "503", "ok")
    daemon = make_daemon()
    assert "notices.enabled" in reload(daemon, notices(webhooks=[ends]))
    first = daemon.submit(alice, "--notify", web.url("/due"), "--", "true")
    eventually(lambda: web.of("/a") and "a notice was not taken" in daemon.log())
    assert reload(daemon, {}) != ""
    eventually(lambda: helper(daemon), until=lambda found: found is None)
    done = daemon.srun(alice, "--mail-user", "a@b.de", "--", "true")
    assert "this machine sends no notices" in done.stderr
    untold = daemon.submit(alice, "--", "true")
    daemon.wait_state(untold, "COMPLETED")
    reload(daemon, notices(webhooks=[ends]))
    eventually(lambda: len(web.of("/due")), until=lambda count: count == 2, timeout=20)
    assert {post.json["job"]["id"] for post in web.of("/due")} == {str(first)}
    told = [post.json["job"]["id"] for post in web.of("/a")]
    assert told == [str(first)]
    assert "ERROR" not in daemon.log()


def test_a_reload_that_the_notifier_cannot_go_by_changes_nothing(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    secret = Path("/etc/mgpu-test-secret")
    secret.write_text("everybody reads it\n")
    secret.chmod(0o644)
    daemon = make_daemon(notices())
    hook = {"name": "a", "url": web.url("/a"), "secret": f"@{secret}"}
    daemon.configure(notices(webhooks=[hook]))
    ctl = ["mgpu_ctl", "reload"]
    done = daemon.command(ROOT, ctl)
    assert done.returncode == 1
    assert "chmod 600" in done.stderr
    daemon.configure({**notices(), "access": {"notify_user": "mgpu"}, "log": {"level": "debug"}})
    assert "access.notify_user" in daemon.command(ROOT, ctl).stdout, "it waits for a restart"
    daemon.submit(alice, "--notify", web.url("/hook"), "--", "true")
    eventually(lambda: web.of("/hook"))
    secret.unlink()


def test_reloads_and_crashes_in_between_lose_nothing_and_send_nothing_twice(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    # A scheduler that dies once it has noted a notice as sent, and has not sent it, leaves it for
    # the window: the notifier, which never had it, cannot say so.
    daemon = make_daemon(notices(timeout=10, window=5))
    jobs = set()
    for round_ in range(12):
        number = daemon.submit(alice, "--gpus", "0", "--notify", web.url("/hook"), "--", "true")
        jobs.add(str(number))
        config = notices(
            timeout=10, window=5, subject_prefix=f"[{round_}]", max_retries=round_ % 10
        )
        daemon.configure(config | {"metrics": {"users": bool(round_ % 2)}})
        os.kill(daemon.pid, signal.SIGHUP)
        if round_ % 3 == 2:
            daemon.kill9_scheduler()
            daemon.wait_ready()
    eventually(lambda: len(web.of("/hook")), until=lambda count: count >= 12, timeout=30)
    never(lambda: len(web.of("/hook")), for_seconds=2, until=lambda count: count > 12)
    assert Counter(post.json["job"]["id"] for post in web.of("/hook")) == dict.fromkeys(jobs, 1)
    assert "ERROR" not in daemon.log()


def test_a_notifier_that_hangs_or_dies_keeps_no_reload_from_being_applied(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    daemon = make_daemon(notices(window=3))
    stopped = helper(daemon)
    assert stopped is not None
    os.kill(stopped.pid, signal.SIGSTOP)
    reload(daemon, notices(window=4))
    os.kill(stopped.pid, signal.SIGKILL)
    daemon.submit(alice, "--notify", web.url("/hook"), "--", "true")
    eventually(lambda: web.of("/hook"), timeout=20)
