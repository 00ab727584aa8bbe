"""mgpu_srun: who is told of a job."""

from __future__ import annotations

from typing import Any

import click

from mgpu.cli.params import FILLED, WORDS

OPTIONS = (
    click.option("--mail-type", type=WORDS, metavar="LIST",
                 help="Of what to tell: NONE, BEGIN, END, FAIL, REQUEUE, TIME_LIMIT_90 (80, 50), "
                 "ALL, ARRAY_TASKS (each task of an array) or events as job_held. [default: END]"),
    click.option("--mail-user", type=FILLED, metavar="ADDRESS",
                 help="Who gets mail. [default: you, with --mail-type and without --notify]"),
    click.option("--notify", type=FILLED, multiple=True, metavar="URL",
                 help="Post to this URL; may be given again. Keep one that is a secret out of the "
                 "command line: set MGPU_SRUN_NOTIFY or write #MGPU --notify into the script."),
)  # fmt: skip


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out of ``options``."""
    words, user, urls = (options.pop(name) for name in ("mail_type", "mail_user", "notify"))
    fields: dict[str, object] = {}
    if words is not None:
        fields["mail_type"] = words
    if user is not None:
        fields["mail_user"] = user
    if urls:
        fields["notify"] = list(urls)
    return fields
