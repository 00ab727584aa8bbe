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
    "job": ("Look after jobs: log, hold, update, redo.", "mgpu.cli.job", "job"),
    "info": ("Show the GPUs and who holds what.", "mgpu.cli.info", "info"),
    "stats": ("Tell what has run, and how well.", "mgpu.cli.stats", "stats"),
    "top": ("Watch GPUs and queue on the whole screen, and act there.", "mgpu.cli.top", "top"),
    "ctl": ("Administer: GPUs, reservations, quotas.", "mgpu.cli.ctl", "ctl"),
    "completion": ("Let a shell complete commands.", "mgpu.cli.completion", "completion"),
}
#: What people want to do, and how: the help of all commands teaches it.
TASKS = (
    ("submit", "mgpu srun --gpus 1 --mem 8G -- python train.py"),
    ("watch", "mgpu queue --me"),
    ("read its log", "mgpu job log --follow 42"),
    ("ask why it waits", "mgpu queue --why 42"),
    ("work by hand", "mgpu srun --gpus 1 --interactive bash"),
    ("administer", "mgpu ctl drain 0 --reason 'new fan'"),
)
_MORE = "'mgpu COMMAND --help' and 'man mgpu_srun' tell the rest."
#: Those that are no programs of their own.
WITHIN = frozenset({"completion"})


def programs() -> list[str]:
    """The names of all programs."""
    return ["mgpu", *(f"mgpu_{word}" for word in COMMANDS if word not in WITHIN)]


class Teaching(LazyGroup):
    """Says on one screen how the usual things are done."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, what one can do, and the commands."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_dl(TASKS)
        self.format_commands(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(_MORE)


@click.group("mgpu", cls=Teaching, known=COMMANDS, context_settings=CONTEXT)
@click.version_option(__version__, message="%(prog)s %(version)s")
def group() -> None:
    """Share the GPUs of this machine. Each command is a program too: mgpu_srun."""


def main() -> NoReturn:
    """The program mgpu."""
    run(group)


if __name__ == "__main__":
    sys.exit(main())
