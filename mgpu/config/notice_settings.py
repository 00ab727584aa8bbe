"""The settings of the table ``[notices]``."""

from __future__ import annotations

from typing import Final

from mgpu.config.kinds import Choice, Duration, Flag, Integer, Text
from mgpu.config.notice_kinds import ADDRESS, DOMAINS, EMAILS, HOSTS, SECRET, WEBHOOKS
from mgpu.config.setting import Setting

_TABLE: Final = (
    Setting(
        "notices.enabled",
        Flag(),
        default=False,
        help="Whether notices are sent. Without, jobs that ask for some are refused.",
    ),
    Setting(
        "notices.webhooks",
        WEBHOOKS,
        [],
        "Where events of all jobs and of the machine are posted. `filter_users` names whose jobs; "
        "`array_tasks` tells of each task of an array; `secret` signs, `format` `slack` sends a "
        "text. What begins with `@` is the path of a file that holds the value.",
    ),
    Setting("notices.emails", EMAILS, [], "The same by mail."),
    Setting(
        "notices.user_webhooks",
        Flag(),
        default=True,
        help="Whether jobs may name URLs of their own with `--notify`.",
    ),
    Setting(
        "notices.allow_hosts",
        HOSTS,
        [],
        "Hosts of webhooks, spelt as in the URL, that may have an address that is not public: "
        "loopback, private, link-local.",
    ),
    Setting(
        "notices.ca_file",
        Text('the path of a file, or ""', r"(/[!-~]{1,1024})?"),
        "",
        "Certificates (PEM) that are trusted besides those that this machine trusts, for mail "
        "servers and webhooks. `access.notify_user` must be able to read it.",
    ),
    Setting("notices.max_concurrent_deliveries", Integer(1, 64), 16, "How many are sent at once."),
    Setting("notices.timeout", Integer(1, 30), 10, "Seconds that one delivery may take in all."),
    Setting(
        "notices.max_retries",
        Integer(0, 10),
        3,
        "How often one that failed for a passing cause is sent again, after 10 s, 20 s, 40 s ...",
    ),
    Setting(
        "notices.window",
        Duration(low=1),
        300,
        "For so long the same is not told twice, and nothing is sent again of which it is not "
        "known whether it arrived.",
    ),
    Setting(
        "notices.smtp_host",
        Text('the name or address of a mail server, or ""', r"[A-Za-z0-9_.:-]{0,253}"),
        "",
        "The server that takes mail. Empty: no mail is sent.",
    ),
    Setting("notices.smtp_port", Integer(1, 65535), 25, "Its port."),
    Setting(
        "notices.smtp_security",
        Choice("none", "starttls", "tls"),
        "none",
        "How it is spoken with. Its certificate is checked.",
    ),
    Setting(
        "notices.smtp_user", Text('a name, or ""', r"[!-~]{0,254}"), "", "Whom to log in as there."
    ),
    Setting("notices.smtp_password", SECRET, "", "The file with that user's password."),
    Setting("notices.mail_from", ADDRESS, "", "The sender. Empty: mgpu at this machine's name."),
    Setting(
        "notices.mail_domain",
        Text('a domain, or ""', r"[A-Za-z0-9.-]{0,253}"),
        "",
        "Where users have mail: what `--mail-user ada` and `--mail-type` without it mean.",
    ),
    Setting("notices.mail_domains", DOMAINS, [], "Domains that users may send to. Empty: any."),
    Setting(
        "notices.subject_prefix",
        Text("printable characters on one line", r"[ -~]{0,64}"),
        "[mgpu]",
        "Stands before each subject.",
    ),
)

#: A URL can be a secret.
NOTICES: Final = tuple(one._replace(secret=one.key == "notices.webhooks") for one in _TABLE)
