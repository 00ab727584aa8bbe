"""mgpu: all commands as one."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from mgpu import __version__
from mgpu.cli.base import CONTEXT, run

#: word -> (what it does, module, name of the command in it); a module is loaded when named.
COMMANDS = {
    "srun": ("Submit a command or a script.", "mgpu.cli.srun", "srun"),
    "queue": ("List jobs.", "mgpu.cli.queue", "queue"),
    "cancel": ("End jobs.", "mgpu.cli.cancel", "cancel"),
    "info": ("Show the GPUs and who holds what.", "mgpu.cli.info", "info"),
}


class LazyGroup(click.Group):
    """Knows its commands by name and loads the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All words, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for an unknown word."""
        if cmd_name not in COMMANDS:
            return None
        _, module, name = COMMANDS[cmd_name]
        command = getattr(import_module(module), name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first word; an unknown one is an error with the nearest."""
        if args and args[0] not in COMMANDS:
            raise click.UsageError(f"there is no command {args[0]!r}{_nearest(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(word, entry[0]) for word, entry in COMMANDS.items()])


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    found = get_close_matches(word, COMMANDS, n=1)
    return f"; did you mean {found[0]}?" if found else f"; known are {', '.join(COMMANDS)}"


@click.group("mgpu", cls=LazyGroup, context_settings=CONTEXT)
@click.version_option(__version__, message="%(prog)s %(version)s")
def group() -> None:
    """Share the GPUs of this machine: each command is also a program, as mgpu_srun."""


def main() -> NoReturn:
    """The program mgpu."""
    run(group)


if __name__ == "__main__":
    sys.exit(main())
