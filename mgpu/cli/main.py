"""mgpu: all commands as one."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from mgpu import __version__
from mgpu.cli.base import CONTEXT, run
from mgpu.cli.lazy import Commands, LazyGroup

COMMANDS: Commands = {
    "srun": ("Submit a command or a script.", "mgpu.cli.srun", "srun"),
    "sbatch": ("Submit a script, as sbatch does.", "mgpu.cli.sbatch", "sbatch"),
    "queue": ("List jobs.", "mgpu.cli.queue", "queue"),
    "cancel": ("End jobs.", "mgpu.cli.cancel", "cancel"),
    "job": ("Hold, release and repeat jobs.", "mgpu.cli.job", "job"),
    "info": ("Show the GPUs and who holds what.", "mgpu.cli.info", "info"),
    "top": ("Watch GPUs and queue on the whole screen, and act there.", "mgpu.cli.top", "top"),
    "ctl": ("Administer: reservations, quotas.", "mgpu.cli.ctl", "ctl"),
    "completion": ("Let a shell complete commands.", "mgpu.cli.completion", "completion"),
}
#: Those that are no programs of their own.
WITHIN = frozenset({"completion"})


def programs() -> list[str]:
    """The names of all programs."""
    return ["mgpu", *(f"mgpu_{word}" for word in COMMANDS if word not in WITHIN)]


@click.group("mgpu", cls=LazyGroup, known=COMMANDS, context_settings=CONTEXT)
@click.version_option(__version__, message="%(prog)s %(version)s")
def group() -> None:
    """Share the GPUs of this machine: each command is also a program, as mgpu_srun."""


def main() -> NoReturn:
    """The program mgpu."""
    run(group)


if __name__ == "__main__":
    sys.exit(main())
