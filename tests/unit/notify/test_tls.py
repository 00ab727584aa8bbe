"""Mail and webhooks over TLS, to real servers whose certificates are made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mgpu.notify.delivery import attempt
from mgpu.notify.webhook import Result
from tests.lib.certificates import PAST, Authority
from tests.lib.receivers import MailServer, WebServer
from tests.unit.notify.test_delivery import NOW, PARCEL, settings

HERE = "127.0.0.1"
WAYS = ["tls", "starttls"]
REFUSED = "TLS: its certificate is refused: "


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def told(mail: MailServer, how: str, **changes: object) -> dict[str, Any]:
    place = {"smtp_host": HERE, "smtp_port": mail.port, "smtp_security": how}
    login = {"smtp_user": "mgpu", "smtp_password": "sesame"}
    return settings(**place, **login, **changes)


def server(how: str, authority: Authority, *names: str, **more: Any) -> MailServer:
    context = authority.server(*names, **more)
    return MailServer(tls=context) if how == "tls" else MailServer(starttls=context)


@pytest.mark.parametrize("how", WAYS)
def test_a_mail_goes_to_a_server_that_is_trusted(how: str, authority: Authority) -> None:
    with server(how, authority, HERE) as mail:
        given = told(mail, how, ca_file=str(authority.file))
        assert attempt(given, "mailto:a@b.de", PARCEL, NOW) == Result(True)
        assert mail.logins == [(b"mgpu", b"sesame")]
        assert len(mail.mails) == 1


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    ("names", "until", "trusted", "why"),
    [
        ([HERE], None, False, "nobody who is trusted has signed it"),
        (["mail.example.org"], None, True, "it is of another host"),
        ([HERE], PAST, True, "it has expired"),
    ],
)
def test_to_others_no_mail_and_no_password_goes(
    how: str, names: list[str], until: Any, trusted: bool, why: str, authority: Authority
) -> None:
    with server(how, authority, *names, until=until) as mail:
        given = told(mail, how, ca_file=str(authority.file) if trusted else "")
        result = attempt(given, "mailto:a@b.de", PARCEL, NOW)
        assert result == Result(False, True, REFUSED + why)
        assert (mail.logins, mail.mails) == ([], [])


def test_a_server_that_does_not_begin_tls_gets_no_password(authority: Authority) -> None:
    with MailServer() as mail:
        for how, why in (("starttls", "does not speak as configured"), ("tls", "TLS: ")):
            given = told(mail, how, ca_file=str(authority.file))
            assert why in attempt(given, "mailto:a@b.de", PARCEL, NOW).why
        assert (mail.logins, mail.mails) == ([], [])


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    with MailServer() as mail:
        for file, why in (("none.pem", "it holds no certificate"), ("gone", "No such file")):
            given = told(mail, "starttls", ca_file=str(tmp_path / file))
            result = attempt(given, "mailto:a@b.de", PARCEL, NOW)
            assert result.why.startswith(f"notices.ca_file cannot be used: {why}")
            assert result.passing, "an administrator can mend it meanwhile"


@pytest.mark.parametrize(
    ("name", "why"), [(HERE, ""), ("example.org", REFUSED + "it is of another host")]
)
def test_a_webhook_over_tls(name: str, why: str, authority: Authority) -> None:
    with WebServer(tls=authority.server(name)) as web:
        given = settings(ca_file=str(authority.file))
        assert attempt(given, web.url("/x"), PARCEL, NOW).why == why
        assert len(web.posts) == (not why)
        untrusted = attempt(settings(), web.url("/x"), PARCEL, NOW)
        assert untrusted.why.startswith(REFUSED)
        assert len(web.posts) == (not why)
