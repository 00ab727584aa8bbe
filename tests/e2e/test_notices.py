"""Mail and webhooks, sent to real servers that take them, fail, hang and redirect."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lib import processes
from tests.lib.daemon import Daemon
from tests.lib.receivers import MailServer, WebServer
from tests.lib.senders import helper, notices
from tests.lib.users import NOTIFY_USER, User, find
from tests.lib.waiting import eventually, never

MakeDaemon = Callable[..., Daemon]


def test_the_owner_is_told_by_webhook_and_mail(
    make_daemon: MakeDaemon, alice: User, web: WebServer, mail: MailServer
) -> None:
    daemon = make_daemon(notices(mail))
    job = daemon.submit(
        alice, "--mail-type", "BEGIN,END", "--mail-user", "ada@example.org", "--name", "train",
        "--notify", web.url("/hook#topsecret"), "--", "sh", "-c", "exit 3",
    )  # fmt: skip
    eventually(lambda: web.events("/hook"), until=lambda seen: len(seen) == 2)
    began, ended = sorted(web.of("/hook"), key=lambda post: post.json["event"] == "job_failed")
    assert began.json["event"] == "job_started"
    assert began.json["job"]["state"] == "RUNNING"
    told = ended.json
    assert set(told) == {"event", "timestamp", "job", "scheduler"}
    assert told["event"] == ended.headers["x-mgpu-event"] == "job_failed"
    assert told["job"]["id"] == str(job)
    assert told["job"]["user"] == "alice"
    assert (told["job"]["state"], told["job"]["exit_code"]) == ("FAILED", 3)
    moment, proof = (part[3:] if part[1] == "1" else part[2:]
                     for part in ended.headers["x-mgpu-signature"].split(","))  # fmt: skip
    signed = f"{moment}.".encode() + ended.body
    assert hmac.new(b"topsecret", signed, hashlib.sha256).hexdigest() == proof
    eventually(lambda: len(mail.mails), until=lambda count: count == 2)
    letter = next(one for one in mail.mails if "failed" in str(one.message["Subject"]))
    assert letter.to == ["ada@example.org"]
    assert f"Job {job} (train) has failed on {os.uname().nodename}" in letter.message["Subject"]
    assert "Exit code:  3" in letter.message.get_payload()


def test_administrators_are_told_of_everything_they_asked_for(
    make_daemon: MakeDaemon, alice: User, bob: User, web: WebServer, tmp_path: Path
) -> None:
    secret = Path("/etc/mgpu-test-secret")
    secret.write_text("sesame\n")
    secret.chmod(0o600)
    hooks = [
        {"name": "all", "url": web.url("/all"), "headers": {"X-Token": f"@{secret}"}},
        {"name": "bobs", "url": web.url("/bobs"), "events": ["job_completed"],
         "filter_users": ["bob"]},
        {"name": "chat", "url": web.url("/chat"), "format": "slack", "events": ["job_completed"]},
    ]  # fmt: skip
    daemon = make_daemon(notices(webhooks=hooks))
    for user in (alice, bob):
        daemon.wait_state(daemon.submit(user, "--", "true"), "COMPLETED")
    wanted = {"scheduler_online": 1, "job_submitted": 2, "job_started": 2, "job_completed": 2}
    eventually(lambda: Counter(web.events("/all")), until=lambda seen: seen == wanted)
    assert {post.headers["x-token"] for post in web.of("/all")} == {"sesame"}
    eventually(lambda: len(web.of("/chat")), until=lambda count: count == 2)
    assert [post.json["job"]["user"] for post in web.of("/bobs")] == ["bob"]
    assert set(web.of("/chat")[0].json) == {"text"}
    secret.unlink()


def test_the_notifier_has_no_rights_and_reaches_nothing(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    web.behave("/hook", "hang")
    daemon = make_daemon(notices(timeout=5))
    daemon.submit(alice, "--notify", web.url("/hook"), "--", "true")
    eventually(lambda: web.of("/hook"))
    notifier = helper(daemon)
    assert notifier is not None
    workers = [p for p in processes.running().values() if p.parent == notifier.pid]
    assert len(workers) == 1
    for process in (notifier, *workers):
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        )
        assert set(status["Uid"].split()) == {str(find(NOTIFY_USER).uid)}
        assert {status[f"Cap{kind}"] for kind in ("Eff", "Prm", "Inh", "Amb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
        kinds = {os.readlink(fd) for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
        assert not [kind for kind in kinds if str(daemon.state) in kind or "mgpu.db" in kind]


def test_where_a_url_leads_and_what_signs_is_nowhere_to_be_seen(
    make_daemon: MakeDaemon, alice: User, bob: User, web: WebServer
) -> None:
    web.behave("/veryprivate", "hang")
    daemon = make_daemon({**notices(), "log": {"level": "debug"}})
    url = web.url("/veryprivate#keyofalice")
    job = daemon.submit(alice, "--", "true", env={"MGPU_SRUN_NOTIFY": url})
    eventually(lambda: web.of("/veryprivate"))
    told = " ".join(p.command for p in processes.running().values())
    daemon.wait_state(job, "COMPLETED")
    eventually(lambda: "notice-failed" in daemon.log())
    seen = told + daemon.log() + daemon.queue(bob, "--all", "--json")
    seen += daemon.command(bob, ["mgpu_job", "show", str(job)]).stdout
    assert "veryprivate" not in seen
    assert "keyofalice" not in seen


def test_the_owner_alone_sees_who_will_be_told_of_a_job(
    make_daemon: MakeDaemon, alice: User, bob: User, web: WebServer, mail: MailServer
) -> None:
    daemon = make_daemon(notices(mail))
    words = ("--hold", "--mail-type", "END", "--mail-user", "ada@example.org")
    job = daemon.submit(alice, *words, "--notify", web.url("/veryprivate#keyofalice"), "--", "true")
    show = ["mgpu_job", "show", str(job)]
    seen = daemon.command(alice, show).stdout
    assert f"Tells:       ada@example.org, {web.url('/veryprivate')}\n" in seen
    assert "Of:          job_completed, job_failed, job_timeout, job_cancelled\n" in seen
    assert "keyofalice" not in seen
    others = daemon.command(bob, [*show, "--json"]).stdout
    assert "ada@example.org" not in others
    assert "veryprivate" not in others


@pytest.mark.parametrize(
    ("how", "why", "said"),
    [
        ("302", "redirects are not followed", "gave a notice up"),
        ("drip", "no answer in time", "a notice was not taken"),
        ("continue", "no answer in time", "a notice was not taken"),
    ],
)
def test_a_target_that_does_not_take_it(
    how: str, why: str, said: str, make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    """What comes forever is ended by the notifier; tests/unit/notify has the other answers."""
    web.behave("/hook", "to " + web.url("/elsewhere") if how == "302" else how)
    daemon = make_daemon(notices(timeout=1))
    daemon.submit(alice, "--notify", web.url("/hook"), "--", "true")
    eventually(lambda: "notice-failed" in daemon.log())
    line = next(one for one in daemon.log().splitlines() if "notice-failed" in one)
    assert said in line
    assert "tries=1" in line
    assert why in line
    assert not web.of("/elsewhere")


def test_what_was_not_taken_is_sent_again_and_given_up_in_the_end(
    make_daemon: MakeDaemon, alice: User, web: WebServer, mail: MailServer
) -> None:
    web.behave("/hook", "503", "ok")
    web.behave("/down", "503")
    mail.says.append("451 later")
    daemon = make_daemon(notices(mail, max_retries=1))
    words = ("--notify", web.url("/hook"), "--mail-user", "ada@example.org")
    daemon.submit(alice, *words, "--notify", web.url("/down"), "--", "true")
    eventually(lambda: len(mail.mails), timeout=20)
    eventually(lambda: len(web.of("/hook")) == 2, timeout=20)
    first, second = web.of("/hook")
    assert first.headers["x-mgpu-delivery"] == second.headers["x-mgpu-delivery"]
    assert first.body == second.body
    eventually(lambda: "gave a notice up" in daemon.log())
    line = next(one for one in daemon.log().splitlines() if "gave a notice up" in one)
    assert "tries=2" in line
    assert "HTTP 503" in line
    assert len(web.of("/down")) == 2


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--mail-user", "a@b.de\nBcc: c@d.de"), "is no address"),
        (("--mail-user", "a@b.de\r"), "is no address"),
        (("--mail-user=-oQ@b.de",), "is no address"),
        (("--mail-user", "a@b.de,c@d.de"), "is no address"),
        (("--mail-user", "a@b.de c@d.de"), "is no address"),
        (("--mail-user", "Ada <a@b.de>"), "is no address"),
        (("--mail-user", "ada"), "is no address"),
        (("--mail-user", "a@elsewhere.de"), "is not sent from here"),
        (("--mail-type", "SOMETIMES", "--mail-user", "a@b.de"), "'SOMETIMES' is none of"),
        (("--notify", "file:///etc/passwd"), "expected http:// or https://"),
        (("--notify", "http://a@b.de/"), "expected http:// or https://"),
        (("--notify", "http://b.de/\r\nX: y"), "expected http:// or https://"),
        (("--notify", "http://10.0.0.1/"), "not one of the open Internet"),
        (("--notify", "http://169.254.169.254/latest"), "not one of the open Internet"),
        (("--notify", "http://[::1]/"), "not one of the open Internet"),
        (("--notify", "http://[::ffff:10.0.0.1]/"), "not one of the open Internet"),
        (("--notify", "http://localhost/"), "not one of the open Internet"),
        (tuple(f"--notify=http://b.de/{n}" for n in range(17)), "at most 16 are allowed"),
    ],
)
def test_what_is_wrong_is_refused_at_submission(
    words: tuple[str, ...], why: str, refusing: Daemon, alice: User
) -> None:
    done = refusing.srun(alice, *words, "--", "true")
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert why in done.stderr
    assert "http" not in done.stderr.replace(why, "").replace("https://", "")


@pytest.fixture(scope="module")
def refusing(users: Any) -> Iterator[Daemon]:
    """A daemon that sends mail, but not to everybody."""
    with Daemon(
        {"notices": {"enabled": True, "smtp_host": "localhost", "mail_domains": ["b.de"]}}
    ) as one:
        yield one


def test_a_name_that_leads_here_is_found_out_when_it_is_resolved(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    hosts = Path("/etc/hosts")
    before = hosts.read_text()
    hosts.write_text(before + "127.0.0.1 hook.example.org\n127.0.0.1 open.example.org\n")
    try:
        daemon = make_daemon(notices(allow_hosts=["open.example.org"]))
        for name in ("hook", "open"):
            url = web.url(f"/{name}", f"{name}.example.org")
            daemon.submit(alice, "--notify", url, "--", "true")
        eventually(lambda: "no address of the open Internet" in daemon.log())
        eventually(lambda: web.of("/open"))
        assert not web.of("/hook")
        assert web.connections == 1
    finally:
        hosts.write_text(before)


def test_dead_targets_of_one_user_delay_nobody_else(
    make_daemon: MakeDaemon, alice: User, bob: User, web: WebServer
) -> None:
    web.behave("/dead", "hang")
    daemon = make_daemon(notices(timeout=10))
    dead = [f"--notify={web.url('/dead')}?{n}" for n in range(16)]
    for n in range(16):
        web.behave(f"/dead?{n}", "hang")
    for _ in range(4):
        daemon.submit(alice, *dead, "--", "true")
    eventually(lambda: len([post for post in web.posts if "dead" in post.path]) >= 2)
    began = time.monotonic()
    job = daemon.submit(bob, "--notify", web.url("/bob"), "--", "true")
    daemon.wait_state(job, "COMPLETED")
    eventually(lambda: web.of("/bob"))
    assert time.monotonic() - began < 10
    assert len([post for post in web.posts if "dead" in post.path]) <= 4


def test_one_user_has_so_many_notices_waiting(
    make_daemon: MakeDaemon, alice: User, bob: User, web: WebServer
) -> None:
    dead = [f"--notify={web.url('/dead')}?{n}" for n in range(16)]
    for n in range(16):
        web.behave(f"/dead?{n}", "hang")
    daemon = make_daemon(notices(timeout=10))
    for _ in range(7):
        daemon.wait_state(daemon.submit(alice, *dead, "--", "true"), "COMPLETED")
    assert "too many notices wait action=notices-dropped whose=user:" in daemon.log()
    done = daemon.srun(alice, *dead, "--", "true")
    assert "100 notices of yours wait to be sent" in done.stderr
    assert daemon.srun(bob, "--notify", web.url("/bob"), "--", "true").returncode == 0
    assert daemon.srun(alice, "--", "true").returncode == 0


def test_a_killed_scheduler_loses_no_notice_and_sends_none_twice(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    daemon = make_daemon(notices(timeout=10))
    for round_ in range(4):
        job = daemon.submit(alice, "--notify", web.url("/hook"), "--", "true")
        if round_ % 2:
            daemon.wait_state(job, "COMPLETED")
        daemon.kill9_scheduler()
        daemon.wait_ready()
    eventually(lambda: len(web.of("/hook")), until=lambda count: count >= 4, timeout=20)
    never(lambda: len(web.of("/hook")), for_seconds=2, until=lambda count: count > 4)
    told = Counter(post.json["job"]["id"] for post in web.of("/hook"))
    assert told == {str(number): 1 for number in range(1, 5)}


def test_a_restart_of_everything_goes_on_with_what_was_due(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    web.behave("/hook", "503", "ok")
    daemon = make_daemon(notices())
    daemon.submit(alice, "--notify", web.url("/hook"), "--", "true")
    eventually(lambda: "a notice was not taken" in daemon.log())
    daemon.restart()
    eventually(lambda: len(web.of("/hook")), until=lambda count: count == 2, timeout=20)


def test_what_a_killed_notifier_was_sending_is_sent_again_after_the_window(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    web.behave("/hook", "hang", "ok")
    daemon = make_daemon(notices(timeout=30, window=3))
    daemon.submit(alice, "--notify", web.url("/hook"), "--", "true")
    eventually(lambda: web.of("/hook"))
    began = time.monotonic()
    notifier = helper(daemon)
    assert notifier is not None
    os.kill(notifier.pid, signal.SIGKILL)
    eventually(lambda: len(web.of("/hook")), until=lambda count: count == 2, timeout=20)
    assert time.monotonic() - began > 2
    never(lambda: len(web.of("/hook")), for_seconds=2, until=lambda count: count > 2)


def test_an_array_tells_of_itself_or_of_each_task(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    daemon = make_daemon(notices())
    hook = ("--notify", web.url("/whole"), "--array", "0-3", "--gpus", "0")
    whole = daemon.submit(alice, *hook, "--", "sh", "-c", "exit $MGPU_ARRAY_TASK_ID")
    each = daemon.submit(
        alice, "--notify", web.url("/each"), "--array", "0-3", "--gpus", "0",
        "--mail-type", "ARRAY_TASKS", "--", "true",
    )  # fmt: skip
    eventually(lambda: len(web.of("/each")), until=lambda count: count == 4)
    (told,) = eventually(lambda: web.of("/whole"))
    assert told.json["event"] == "job_failed"
    assert told.json["job"]["id"] == str(whole)
    assert told.json["job"]["tasks"] == {"total": 4, "completed": 1, "failed": 3}
    ids = {post.json["job"]["id"] for post in web.of("/each")}
    assert ids == {f"{each}_{task}" for task in range(4)}


def test_a_part_of_the_time_limit_is_told_once_though_the_scheduler_is_killed(
    make_daemon: MakeDaemon, alice: User, web: WebServer
) -> None:
    daemon = make_daemon(notices())
    words = ("--mail-type", "TIME_LIMIT_50,TIME_LIMIT_90,END", "--notify", web.url("/hook"))
    job = daemon.submit(alice, *words, "--time-limit", "6", "--no-requeue", "--", "sleep", "60")
    eventually(lambda: web.events("/hook"), until=lambda seen: seen == ["job_time_limit_50"])
    daemon.kill9_scheduler()
    daemon.wait_ready()
    daemon.wait_state(job, "TIMEOUT")
    told = ["job_time_limit_50", "job_time_limit_90", "job_timeout"]
    eventually(lambda: web.events("/hook"), until=lambda seen: len(seen) == 3)
    assert sorted(web.events("/hook")) == told
    assert web.of("/hook")[0].json["job"]["time_limit"] == 6


def test_without_notices_who_asks_for_some_is_told(daemon: Daemon, alice: User) -> None:
    done = daemon.srun(alice, "--mail-user", "a@b.de", "--", "true")
    assert done.returncode == 1
    assert "this machine sends no notices" in done.stderr
    assert helper(daemon) is None
