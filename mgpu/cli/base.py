"""What all commands share: common options, one way to run and to end, one way to say errors."""

from __future__ import annotations

import gc
import os
import sys
from typing import IO, TYPE_CHECKING, NoReturn

import click

from mgpu import __version__
from mgpu.model.errors import MgpuError
from mgpu.model.units import quoted, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from mgpu.client import Client
    from mgpu.model.target import Name

DEFECT, BROKEN_PIPE, INTERRUPTED = 70, 128 + 13, 128 + 2
#: Variable that asks for the trace of what went wrong.
DEBUG = "MGPU_DEBUG"
#: Set by a shell that wants to know how a line may go on (``mgpu.cli.complete``).
COMPLETION = "_MGPU_COMPLETE"
_NARROWEST = 50


class Formatter(click.HelpFormatter):
    """Help as wide as the terminal. Click's own loads all that ``shutil`` needs to learn that."""

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        if width is None:
            width = max(_NARROWEST, min(_columns(), max_width or 80) - 2)
        super().__init__(indent_increment, width, max_width)


def _columns() -> int:
    """Of the terminal, as ``shutil.get_terminal_size`` would say."""
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdecimal() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return 80


click.Context.formatter_class = Formatter
click.IntRange.name = "integer"  # in errors; click says "integer range"
CONTEXT = {"help_option_names": ["--help"], "max_content_width": 100}
#: Of mgpud and its words, where ``-h`` means nothing else.
CONTEXT_WITH_H = CONTEXT | {"help_option_names": ["-h", "--help"]}


def common_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add --socket, --config and --version.

    Where the scheduler is counts first: it says on which clocks the values of others are read.
    """
    for option in (
        click.version_option(__version__, message="%(prog)s %(version)s"),
        click.option(
            "--config",
            metavar="FILE",
            is_eager=True,
            help="Configuration that says where it listens.",
        ),
        click.option("--socket", metavar="PATH", is_eager=True, help="Socket of the scheduler."),
    ):
        function = option(function)
    return function


def is_answer(parameter: click.Parameter) -> bool:
    """Whether it is ``--help`` or ``--version``: all that a command does where it is given."""
    return parameter.is_eager and not parameter.expose_value


def where(context: click.Context | None) -> tuple[str | None, str | None]:
    """The socket and the configuration file of the running command, also while it is parsed."""
    given = context.params if context is not None else {}
    socket, config = given.get("socket"), given.get("config")
    return (  # what is not read yet has a mark of click's instead of a value
        socket if isinstance(socket, str) else None,
        config if isinstance(config, str) else None,
    )


def connect(socket: str | None, config: str | None, *, admin: bool = False) -> Client:
    """The scheduler that the common options name."""
    from mgpu.cli import zone
    from mgpu.client import Client  # --help and a wrong option do without

    return Client(socket, config, admin=admin, on_zone=zone.configured)


def run(command: click.Command) -> NoReturn:
    """Run ``command`` with the arguments of this process and end the process."""
    gc.disable()  # short-lived, and its large lists hold no cycles
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if COMPLETION in os.environ:
        from mgpu.cli.complete import answer

        answer(command)
        finish(0)
    finish(status_of(command))


class OutputLost(Exception):
    """Standard output takes no more: closed by its reader, or the disk is full."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def emit(text: str) -> None:
    """Print ``text`` and a newline; all of a command's output goes through here."""
    try:
        sys.stdout.write(text + "\n")
    except OSError as error:
        raise OutputLost(error) from error  # click would take an OSError for its own


def emit_json(body: object) -> None:
    """Write what ``--json`` shows."""
    import json

    emit(json.dumps(body, indent=1))


def user_name(uid: int) -> str:
    """The name of a uid as it is shown, also of one without."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def table(lines: Sequence[Sequence[str]], right: Container[str] = ()) -> list[str]:
    """Lines of cells, the first of them the header, as text; columns in ``right`` end together."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = zip(lines[0], widths, strict=True)
    aligned = [(str.rjust if name in right else str.ljust, width) for name, width in cells]
    return [
        "  ".join(f(cell, w) for cell, (f, w) in zip(line, aligned, strict=True)).rstrip()
        for line in lines
    ]


def finish(status: int) -> NoReturn:
    """Write out what was printed and end at once, without taking the interpreter apart."""
    try:
        sys.stdout.flush()
    except OSError as error:
        status = status or _output_lost(error)
    try:
        sys.stderr.flush()
    except OSError:
        pass  # there is no place left to say it
    os._exit(status)


def _output_lost(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    complain(f"cannot write the output: {error.strerror}")
    return 1


def status_of(command: click.Command, args: list[str] | None = None) -> int:
    """Run ``command``, print what went wrong, and give the exit status."""
    try:
        status = command.main(args, prog_name=command.name, standalone_mode=False)
    except MgpuError as error:
        _say_error(error)
        _trace(error)
        return error.exit_status
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OutputLost as error:
        return _output_lost(error.reason)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        return _defect(error)
    return status if isinstance(status, int) else 0


def _defect(error: Exception) -> int:
    """Say what nobody has foreseen in one line."""
    complain(f"unexpected {type(error).__name__}: {error}")
    if not _trace(error):
        complain(f"set {DEBUG}=1 to see where, and report it with the command line", label="hint")
    return DEFECT


def _trace(error: Exception) -> bool:
    """Print where ``error`` comes from, if the caller asks for it."""
    asked = os.environ.get(DEBUG, "0") not in ("", "0")
    if asked:
        import traceback

        for line in "".join(traceback.format_exception(error)).splitlines():
            print(visible(line), file=sys.stderr)
    return asked


def _say_error(error: MgpuError) -> None:
    """Print what is wrong and, where known, what to do next."""
    complain(str(error))
    if error.hint:
        complain(error.hint, label="hint")


def complain(text: str, label: str = "error", stream: IO[str] | None = None) -> None:
    """Print ``text`` to standard error, harmless to a terminal whatever it holds.

    A note is left out where the command was told --quiet.
    """
    context = click.get_current_context(silent=True)
    if label == "note" and context is not None and context.params.get("quiet"):
        return
    print(f"{program()}: {label}: {visible(text)}", file=stream or sys.stderr)


def program() -> str:
    """The name this command was called by."""
    context = click.get_current_context(silent=True)
    return context.command_path if context else os.path.basename(sys.argv[0])


def job_names(words: tuple[str, ...] | list[str], most: int = 100_000) -> list[Name]:
    """The jobs of ``3``, ``3,4``, ``3-5``, ``42_7``, ``42_[1-5]``, ``@~1``, in order, each once."""
    from mgpu.model.target import parse_targets

    if any("@" in word for word in words):
        from mgpu.cli.newest import with_numbers

        words = with_numbers(words)
    try:
        return parse_targets(words, most)
    except MgpuError as error:
        hint = f"; {error.hint}" if error.hint else ""
        raise click.UsageError(f"{error.message}{hint}") from None


def wired(named: Sequence[Name]) -> list[int | str]:
    """Names of jobs as they are sent."""
    from mgpu.model.target import on_wire

    return list(map(on_wire, named))


def job_name(word: str) -> Name:
    """The one job of ``42``, ``42_7`` or ``@``."""
    found = job_names([word], 1)
    if len(found) != 1:
        raise click.UsageError("no job is named; write 42, 42_7 or @")
    return found[0]


def job_numbers(words: list[str], most: int = 100_000) -> list[int]:
    """The whole jobs and arrays of ``3``, ``3,4``, ``3-5``, ``@``, in order, each once."""
    found = job_names(words, most)
    for name in found:
        if not isinstance(name, int):
            raise click.UsageError(f"{name} is of an array; name all of that: {name.job}")
    return [name for name in found if isinstance(name, int)]


def job_number(word: str) -> int:
    """The one job or array of ``42`` or ``@``."""
    found = job_numbers([word], 1)
    if not found:
        raise click.UsageError("no job is named; write 42 or @")
    return found[0]


def record_ids(words: tuple[str, ...] | list[str], what: str, most: int) -> list[int]:
    """The ids of ``3``, ``3,4`` and ``3-5``, in order, each once, at most ``most``.

    ``what`` they are, as ``reservation``, is for the errors.
    """
    ids: dict[int, None] = {}
    for word in ",".join(words).split(","):
        if word:
            ids.update(dict.fromkeys(_id_range(word, what, most)))
        if len(ids) > most:
            raise click.UsageError(f"more than {most} {what}s are named")
    if not ids:
        raise click.UsageError(f"no {what} is named; write 3, 3,4 or 3-5")
    return list(ids)


def _id_range(word: str, what: str, most: int) -> range:
    first, dash, last = word.partition("-")
    if not _is_id(first) or (dash and not _is_id(last)):
        raise click.UsageError(f"{quoted(word)} is no {what}; write 3, 3,4 or 3-5")
    ids = range(int(first), int(last or first) + 1)
    if not 1 <= len(ids) <= most:
        raise click.UsageError(f"{quoted(word)} is not a range of 1 to {most} {what}s")
    return ids


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < len(text) <= 18 and int(text) > 0
