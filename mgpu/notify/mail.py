"""One mail through the server of the configuration."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from mgpu.notify import texts, tls
from mgpu.notify.webhook import Parcel, Result


def send(
    settings: Mapping[str, Any],
    to: Sequence[str],
    parcel: Parcel,
    *,
    host: str,
    timeout: float,
    now: float,
) -> Result:
    """Hand the parcel over as a mail; raises OSError, ``tls.Unusable``, what ``smtplib`` raises."""
    if not settings["notices.smtp_host"]:
        return Result(delivered=False, why="no mail server is configured (notices.smtp_host)")
    message = compose(settings, to, parcel, host=host, now=now)
    try:
        with _server(settings, host, timeout) as server:
            refused = server.send_message(message, message["From"], list(to))
    except smtplib.SMTPResponseException as error:
        return _judge(error.smtp_code)
    except smtplib.SMTPRecipientsRefused as error:
        return _judge(max(code for code, _ in error.recipients.values()))
    except smtplib.SMTPNotSupportedError:
        return Result(delivered=False, why="the mail server does not speak as configured")
    why = f"{len(refused)} of {len(to)} recipients were refused" if refused else ""
    return Result(delivered=True, why=why)


def compose(
    settings: Mapping[str, Any], to: Sequence[str], parcel: Parcel, *, host: str, now: float
) -> EmailMessage:
    """The mail. Its number is the same in each try, so that a second copy can be known as one."""
    body = json.loads(parcel.body)
    message = EmailMessage()
    message["From"] = settings["notices.mail_from"] or f"mgpu@{host}"
    message["To"] = ", ".join(to)
    message["Subject"] = f"{settings['notices.subject_prefix']} {texts.subject(body)}".strip()
    message["Date"] = format_datetime(datetime.fromtimestamp(int(now), UTC))
    message["Message-ID"] = f"<mgpu.{parcel.id}.{body['timestamp'].replace(':', '')}@{host}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Mgpu-Event"] = parcel.event
    message.set_content(texts.letter(body))
    return message


def _server(settings: Mapping[str, Any], host: str, timeout: float) -> smtplib.SMTP:
    place = (settings["notices.smtp_host"], settings["notices.smtp_port"])
    how = settings["notices.smtp_security"]
    context = tls.context(settings["notices.ca_file"]) if how != "none" else None
    if how == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(*place, host, timeout=timeout, context=context)
    else:
        server = smtplib.SMTP(*place, host, timeout=timeout)
    try:
        if how == "starttls":
            server.starttls(context=context)
        if settings["notices.smtp_user"]:
            server.login(settings["notices.smtp_user"], settings["notices.smtp_password"])
    except BaseException:
        server.close()
        raise
    return server


def _judge(code: int) -> Result:
    return Result(delivered=False, passing=400 <= code < 500, why=f"SMTP {code}")
