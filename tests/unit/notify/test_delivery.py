"""One delivery: what is sent, and what is told of how it went."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mgpu.notify.delivery import attempt
from mgpu.notify.mail import compose
from mgpu.notify.texts import letter, slack, subject
from mgpu.notify.webhook import Parcel, Result, signature
from tests.lib.receivers import MailServer, WebServer, silent_server

BODY: dict[str, Any] = {
    "event": "job_failed",
    "timestamp": "2026-02-04T12:30:45Z",
    "job": {
        "id": "42",
        "user": "alice",
        "state": "FAILED",
        "name": "train\r\nBcc: x@y.z <b>&",
        "exit_code": 3,
        "elapsed": 61.5,
    },
    "scheduler": {"host": "box", "version": "0"},
}
PARCEL = Parcel(7, "job_failed", json.dumps(BODY))
NOW = 1_700_000_000.0


def settings(**changes: object) -> dict[str, Any]:
    given: dict[str, Any] = {
        "timeout": 1,
        "allow_hosts": ["127.0.0.1"],
        "webhooks": [],
        "emails": [],
        "ca_file": "",
        "smtp_host": "",
        "smtp_port": 25,
        "smtp_security": "none",
        "smtp_user": "",
        "smtp_password": "",
        "mail_from": "",
        "subject_prefix": "[mgpu]",
        **changes,
    }
    return {f"notices.{name}": value for name, value in given.items()}


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


def test_the_signature_is_that_of_time_and_body() -> None:
    """As docs/notices.md tells receivers to check it."""
    expected = hmac.new(b"secret", b'1700000000.{"a":1}', hashlib.sha256).hexdigest()
    assert signature("secret", 1_700_000_000, b'{"a":1}') == f"t=1700000000,v1={expected}"


def test_a_webhook_of_the_configuration(web: WebServer) -> None:
    hook = {
        "name": "ops",
        "url": web.url("/x?y=1"),
        "headers": {"X-Token": "t"},
        "secret": "s",
        "format": "json",
    }
    assert attempt(settings(webhooks=[hook]), "webhook:ops", PARCEL, NOW) == Result(True)
    (post,) = web.posts
    assert post.path == "/x?y=1"
    assert post.json == BODY
    assert post.headers["x-mgpu-signature"] == signature("s", int(NOW), post.body)
    assert post.headers["x-mgpu-delivery"] == "7"
    assert post.headers["x-token"] == "t"
    assert post.headers["content-type"] == "application/json; charset=utf-8"
    assert post.headers["host"] == f"127.0.0.1:{web.port}"


def test_a_url_without_a_secret_is_not_signed(web: WebServer) -> None:
    assert attempt(settings(), web.url("/x"), PARCEL, NOW).delivered
    assert "x-mgpu-signature" not in web.posts[0].headers


def test_slack_gets_a_text(web: WebServer) -> None:
    assert attempt(settings(), "slack+" + web.url("/x"), PARCEL, NOW).delivered
    text = web.posts[0].json["text"]
    assert text.startswith("Job 42 (train\\r\\nBcc: x@y.z &lt;b&gt;&amp;) has failed on box")


@pytest.mark.parametrize(
    ("how", "passing", "why"),
    [
        ("204", False, ""),
        ("to http://127.0.0.1:1/", False, "HTTP 302: redirects are not followed"),
        ("404", False, "HTTP 404"),
        ("410", False, "HTTP 410"),
        ("408", True, "HTTP 408"),
        ("429", True, "HTTP 429"),
        ("503", True, "HTTP 503"),
        ("hang", True, "no answer in time"),
        ("close", True, "not an answer: RemoteDisconnected"),
        ("flood", True, "not an answer: HTTPException"),
    ],
)
def test_an_answer_is_judged(how: str, passing: bool, why: str, web: WebServer) -> None:
    web.behave("/x", how)
    assert attempt(settings(), web.url("/x"), PARCEL, NOW) == Result(not why, passing, why)


def test_what_cannot_be_reached_is_told_without_its_name(web: WebServer) -> None:
    refused = attempt(settings(), "http://127.0.0.1:1/secretpath", PARCEL, NOW)
    assert refused == Result(False, True, "Connection refused")
    private = attempt(settings(allow_hosts=[]), web.url("/secretpath"), PARCEL, NOW)
    assert private == Result(False, False, "its host has no address of the open Internet")
    unknown = attempt(settings(), "http://no-such-host.invalid/secretpath", PARCEL, NOW)
    assert unknown.why == "its host's name is not known"
    misspelled = attempt(settings(), "http://no..host/secretpath", PARCEL, NOW)
    assert not misspelled.passing
    assert misspelled.why.startswith("cannot be sent: Unicode")
    spoken = attempt(settings(), f"https://127.0.0.1:{web.port}/x", PARCEL, NOW)
    assert spoken.passing
    assert spoken.why.startswith(("TLS: ", "no answer"))
    assert not web.posts


def test_what_is_not_configured_any_more_is_given_up() -> None:
    gone = Result(False, False, "it is not configured any more")
    assert attempt(settings(), "webhook:old", PARCEL, NOW) == gone
    assert attempt(settings(), "email:old", PARCEL, NOW) == gone


def test_a_mail_arrives(mail: MailServer) -> None:
    told = settings(smtp_host="127.0.0.1", smtp_port=mail.port, mail_from="mgpu@lab.de")
    assert attempt(told, "mailto:ada@example.org", PARCEL, NOW) == Result(True)
    (letter_,) = mail.mails
    assert (letter_.sender, letter_.to) == ("mgpu@lab.de", ["ada@example.org"])
    assert letter_.message["To"] == "ada@example.org"
    assert letter_.message["Auto-Submitted"] == "auto-generated"
    assert letter_.message["Bcc"] is None


def test_a_mail_of_the_configuration_goes_to_all(mail: MailServer) -> None:
    table = {"name": "ops", "to": ["a@b.de", "c@d.de"]}
    told = settings(smtp_host="127.0.0.1", smtp_port=mail.port, emails=[table])
    mail.says += ["250 ok", "550 no"]
    assert attempt(told, "email:ops", PARCEL, NOW).delivered


@pytest.mark.parametrize(
    ("says", "passing", "why"), [("451 later", True, "SMTP 451"), ("550 no", False, "SMTP 550")]
)
def test_a_mail_that_is_not_taken(says: str, passing: bool, why: str, mail: MailServer) -> None:
    mail.says.append(says)
    told = settings(smtp_host="127.0.0.1", smtp_port=mail.port)
    assert attempt(told, "mailto:a@b.de", PARCEL, NOW) == Result(False, passing, why)


def test_a_mail_server_that_cannot_do_what_is_asked(mail: MailServer) -> None:
    told = settings(smtp_host="127.0.0.1", smtp_port=mail.port, smtp_security="starttls")
    assert "does not speak as configured" in attempt(told, "mailto:a@b.de", PARCEL, NOW).why
    assert not mail.mails


def test_a_silent_mail_server() -> None:
    with silent_server() as port:
        told = settings(smtp_host="127.0.0.1", smtp_port=port)
        assert attempt(told, "mailto:a@b.de", PARCEL, NOW) == Result(
            False, True, "the mail server hangs up, or does not answer"
        )


def test_without_a_mail_server_that_is_said() -> None:
    assert "notices.smtp_host" in attempt(settings(), "mailto:a@b.de", PARCEL, NOW).why


def test_text_of_users_makes_no_header_and_no_line() -> None:
    told = compose(settings(), ["a@b.de"], PARCEL, host="box", now=NOW)
    assert "\n" not in str(told["Subject"])
    assert "Bcc" not in told
    assert "\\r\\nBcc" in subject(BODY)
    assert len(slack(BODY).splitlines()) == 1
    assert not [line for line in letter(BODY).splitlines() if line.startswith("Bcc")]


def test_a_second_copy_of_a_mail_can_be_known() -> None:
    first, second = (
        compose(settings(), ["a@b.de"], PARCEL, host="box", now=NOW + n) for n in (0, 99)
    )
    assert first["Message-ID"] == second["Message-ID"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"event": "scheduler_online"}, "mgpu on box has started"),
        ({"event": "gpu_fault", "gpu": {"name": "gpu1"}, "fault": "Xid 79"},
         "gpu1 of box was drained: Xid 79"),
        ({"event": "gpu_available", "gpu": {"name": "gpu1"}}, "gpu1 of box can be used again"),
        ({"event": "outsider_seen", "gpu": {"name": "gpu1"}, "process": {"pid": 7}},
         "Process 7 outside mgpu uses gpu1 of box"),
        ({"event": "reservation_created", "reservation": {"id": 3, "name": "course"}},
         "Reservation 3 (course) on box was made"),
        ({"event": "reservation_cancelled", "reservation": {"id": 3, "name": "course"}},
         "Reservation 3 (course) on box was cancelled"),
    ],
)  # fmt: skip
def test_events_of_the_machine_in_words(body: dict[str, Any], text: str) -> None:
    told = {**body, "timestamp": "now", "scheduler": {"host": "box"}}
    assert subject(told) == text
    assert text in letter(told)
