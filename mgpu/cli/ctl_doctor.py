"""mgpu_ctl doctor: what is not as it should be on this machine, and what to do about it."""

from __future__ import annotations

import click

from mgpu.cli.base import CONTEXT, common_options


@click.command("doctor", context_settings=CONTEXT)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@common_options
def doctor(*, as_json: bool, socket: str | None, config: str | None) -> int:
    """Look for what is not as it should be, and say what to do about it.

    It changes nothing. The exit status is 1 where something has to be done.
    """
    from mgpu.cli.doctor_look import examine  # --help does without

    return examine(socket, config, as_json=as_json)
