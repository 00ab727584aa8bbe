"""Mail over TLS, sent by a real daemon to a real server with a certificate of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lib.certificates import Authority
from tests.lib.daemon import Daemon
from tests.lib.receivers import MailServer
from tests.lib.senders import notices
from tests.lib.users import ROOT, User
from tests.lib.waiting import eventually

MakeDaemon = Callable[..., Daemon]


@pytest.mark.parametrize("how", ["tls", "starttls"])
def test_mail_goes_over_tls_once_its_server_is_trusted(
    how: str, make_daemon: MakeDaemon, alice: User
) -> None:
    folder, password = Path("/etc/mgpu-test-tls"), Path("/etc/mgpu-test-password")
    folder.mkdir(mode=0o755, exist_ok=True)
    password.write_text("sesame\n")
    password.chmod(0o600)
    authority = Authority(folder)
    context = authority.server("127.0.0.1")
    with MailServer(tls=context) if how == "tls" else MailServer(starttls=context) as mail:
        login = {"smtp_user": "mgpu", "smtp_password": f"@{password}", "smtp_security": how}
        daemon = make_daemon(notices(mail, **login))
        job = daemon.submit(alice, "--mail-user", "ada@example.org", "--", "true")
        eventually(lambda: "nobody who is trusted has signed it" in daemon.log())
        assert (mail.mails, mail.logins) == ([], [])
        daemon.configure(notices(mail, **login, ca_file=str(authority.file)))
        assert daemon.command(ROOT, ["mgpu_ctl", "reload"]).returncode == 0
        (letter,) = eventually(lambda: mail.mails, timeout=20)
        assert f"Job {job} " in letter.message["Subject"]
        assert mail.logins == [(b"mgpu", b"sesame")]
        assert "sesame" not in daemon.log()
