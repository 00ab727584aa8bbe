"""A group of commands that loads only the one that is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from mgpu.model.units import visible

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: word -> (what it does, module, name of the command in it); what is for programs says nothing.
Commands = dict[str, tuple[str, str, str]]


class Words(click.Group):
    """A group that tells the nearest of its words from one that it does not know."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first word; an unknown one is an error with the nearest."""
        if args and self.get_command(ctx, args[0]) is None:
            if ctx.resilient_parsing:  # a shell asks how the line goes on
                return None, None, args
            word = visible(args[0])
            text = f"there is no command {word!r}{_nearest(word, self.list_commands(ctx))}"
            raise click.UsageError(text, ctx)
        return super().resolve_command(ctx, args)


def _nearest(word: str, known: list[str]) -> str:
    from difflib import get_close_matches

    plain = word.lower().removeprefix("mgpu_").removeprefix("mgpu-").removeprefix("s")
    found = get_close_matches(word, known, n=1) or get_close_matches(plain, known, n=1)
    return f"; did you mean {found[0]}?" if found else f"; known are {', '.join(known)}"


class LazyGroup(Words):
    """Knows its commands by name and loads the one that is asked for."""

    def __init__(self, *args: Any, known: Commands, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._known = known

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All words for people, in the order of use."""
        return [word for word, entry in self._known.items() if entry[0]]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for an unknown word."""
        if cmd_name not in self._known:
            return None
        _, module, name = self._known[cmd_name]
        command = getattr(import_module(module), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries())

    def summaries(self) -> list[tuple[str, str]]:
        """Each word and what it does."""
        return [(word, entry[0]) for word, entry in self._known.items() if entry[0]]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """The words and options that go on, without loading the commands."""
        from click.shell_completion import CompletionItem

        known = [pair for pair in self.summaries() if pair[0].startswith(incomplete)]
        words = [CompletionItem(word, help=text) for word, text in known]
        return [*words, *click.Command.shell_complete(self, ctx, incomplete)]
