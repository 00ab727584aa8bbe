"""mgpu_srun: submit a command or a script."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mgpu.cli import (
    submit_array,
    submit_dependency,
    submit_notify,
    submit_placement,
    submit_priority,
    submit_project,
    submit_time,
)
from mgpu.cli.base import (
    CONTEXT,
    INTERRUPTED,
    common_options,
    complain,
    connect,
    emit,
    is_answer,
    run,
)
from mgpu.cli.params import DURATION, MEMORY, SIGNAL, SLURM_TIME, Parsed
from mgpu.cli.submit_script import Program, program, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mgpu.client import Client
    from mgpu.client.session import Message

_NAME, _PROGRAM = "mgpu_srun", "mgpu.program"
_MOST_NOTES = 10


#: Modules with ``OPTIONS`` and ``extras``, one for each group of finer points; in order of help.
GROUPS = (
    submit_placement,
    submit_array,
    submit_priority,
    submit_project,
    submit_time,
    submit_dependency,
    submit_notify,
)


def _extra_options(function: Callable[..., object]) -> Callable[..., object]:
    for option in reversed([option for group in GROUPS for option in group.OPTIONS]):
        function = option(function)
    return function


class SubmitCommand(click.Command):
    """Finds out what is to be run, and with which options that stand elsewhere."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, with variables and directives as defaults."""
        given = submit_priority.with_nice(args, self.params)
        if not ctx.resilient_parsing:
            try:
                self._look_around(ctx, given)
            except click.UsageError as error:
                error.ctx = error.ctx or ctx  # says whose usage it is
                raise
        return super().parse_args(ctx, given)

    def _look_around(self, ctx: click.Context, given: list[str]) -> None:
        values = self._values(ctx, given)
        if any(is_answer(one) and one.name in values for one in self.get_params(ctx)):
            return  # --help and --version
        words = words_of(values)
        before = len(given) - len(words) - 1
        as_is = before >= 0 and given[before] == "--"
        is_batch = self.name != _NAME
        if not (words or is_batch or values.get("wrap") is not None):
            raise click.MissingParameter(ctx=ctx, param=self.params[-1])
        found = program(words, values.get("wrap"), as_is=as_is, script=is_batch)
        ctx.meta[_PROGRAM] = found
        prefix = f"{self.name}_".upper()
        if found.script or any(name.startswith(prefix) for name in os.environ):
            from mgpu.cli import submit_sources

            ctx.default_map = submit_sources.defaults(ctx, self, values, found.script)

    def _values(self, ctx: click.Context, given: list[str]) -> dict[str, Any]:
        try:
            return self.make_parser(ctx).parse_args(list(given))[0]
        except click.NoSuchOption as error:
            from mgpu.cli import slurm_words

            raise slurm_words.refusal(error, srun=self.name == _NAME) from None


@click.command(
    _NAME, cls=SubmitCommand, context_settings=CONTEXT | {"allow_interspersed_args": False}
)
@click.option(
    "-G",
    "--gpus",
    type=Parsed("number", submit_placement.parse_gpus),
    metavar="[TYPE:]N",
    help="Number of GPUs, and of which type: 2, a100:2. [default: 1]",
)
@click.option(
    "--mem",
    "--gpu-mem",
    "gpu_mem",
    type=MEMORY,
    metavar="SIZE",
    help="GPU memory for each GPU, as 8000 (MiB), 8G or 1.5T. The job then shares its GPUs with "
    "others as long as the sum fits; without it, it has them for itself.",
)
@click.option("--exclusive", is_flag=True, help="With --mem: such GPUs, but for this job alone.")
@click.option(
    "--time-limit",
    type=DURATION,
    metavar="DURATION",
    help="Longest run, as 600 (seconds), 10m, 2h30m or 1-12:00:00.",
)
@click.option(
    "-t",
    "--time",
    "slurm_time",
    type=SLURM_TIME,
    metavar="TIME",
    help="The same in Slurm's forms: 10 (minutes), 10:00, 2:30:00, 1-12.",
)
@click.option("-J", "--name", "--job-name", "name", metavar="NAME", help="Name of the job.")
@click.option("-D", "--chdir", metavar="DIR", help="Folder it runs in. [default: the current one]")
@click.option("-o", "--output", metavar="PATTERN", help="Log file; %j is the id, %x the name.")
@click.option(
    "-e", "--error", metavar="PATTERN", help="File for standard error. [default: the log]"
)
@click.option(
    "--open-mode",
    type=click.Choice(["append", "truncate"]),
    default="append",
    show_default=True,
    help="What happens to a log file that exists.",
)
@click.option(
    "--export",
    default="ALL",
    metavar="ALL|NONE|NAME[=VALUE],...",
    help="Variables of this shell that the job gets. [default: ALL]",
)
@click.option(
    "--export-slurm/--no-export-slurm",
    default=None,
    help="Whether it gets its variables under Slurm's names too, as SLURM_JOB_ID. [default: as "
    "the machine is configured]",
)
@click.option(
    "--requeue/--no-requeue",
    default=True,
    help="At the time limit: back to the queue, or the end. [default: requeue]",
)
@click.option(
    "--signal",
    type=SIGNAL,
    metavar="SIG[@SECONDS]",
    help="Send this signal so long (60) before the time limit.",
)
@click.option(
    "--priority",
    type=click.IntRange(-submit_priority.MOST, submit_priority.MOST),
    default=0,
    show_default=True,
    metavar="N",
    help="Higher goes first.",
)
@click.option("--venv", metavar="DIR", help="Virtual environment to activate.")
@click.option("--conda-env", metavar="NAME", help="Conda environment to activate: name or folder.")
@click.option("--no-activate", is_flag=True, help="Activate no environment.")
@_extra_options
@click.option("-W", "--wait", is_flag=True, help="Wait for the end and return the job's code.")
@click.option(
    "--follow",
    is_flag=True,
    help="Print what it writes until it is over, and return its code. Ctrl-C leaves it running.",
)
@click.option(
    "--interactive",
    "--pty",
    "interactive",
    is_flag=True,
    help="Give it a terminal, which is this one; bash gives a shell. Ctrl-\\ d leaves it running.",
)
@click.option("--wrap", metavar="TEXT", help="Run this line of shell instead of a COMMAND.")
@click.option("--dry-run", is_flag=True, help="Print what would be submitted; ask nothing.")
@click.option(
    "--test-only", is_flag=True, help="Say whether and when it would start; keep nothing."
)
@click.option("--parsable", is_flag=True, help="Print the bare id.")
@click.option("-Q", "--quiet", is_flag=True, help="Print no id and no notes, only errors.")
@click.option("--admin", is_flag=True, help="As an administrator, who may give any priority.")
@common_options
@click.argument("command", nargs=-1, metavar="COMMAND...", type=click.UNPROCESSED)
@click.pass_context
def srun(
    context: click.Context,
    /,
    socket: str | None,
    config: str | None,
    *,
    admin: bool,
    **options: Any,
) -> int:
    """Submit COMMAND, to run as you, here, when its GPUs are free.

    A COMMAND that is a file beginning with #! (with a slash in its name, or in the current
    folder) is a script: its content is copied now, so later edits change nothing. Written after
    -- it is run as it is; - is a script from standard input.

    A script may go on with lines of options, #MGPU --gpus 2 or #SBATCH --gpus=2, and a variable
    MGPU_SRUN_GPUS=2 is --gpus 2. The command line goes before variables, those before scripts.

    Example: mgpu_srun --gpus 1 --mem 8000 --time-limit 600 -- python train.py
    """
    wait, parsable = options.pop("wait"), options.pop("parsable")
    silent = options.pop("quiet")  # complain() heeds it too
    dry, test = options.pop("dry_run"), options.pop("test_only")
    what = "recurring job" if options["cron"] else "job"
    followed, interactive = options.pop("follow"), options.pop("interactive", False)
    _check(options, wait=wait, test=test, follow=followed, interactive=interactive)
    if interactive:
        from mgpu.cli.interactive import attend, need_terminal, wishes

        if not (dry or test):
            need_terminal("--interactive", "use --follow")
        options |= wishes(options["export"])
    with connect(socket, config, admin=admin) as client:
        rehearse = _show if dry else partial(_foretell, client) if test else None
        job = _submit(client, context.meta[_PROGRAM], options, rehearse)
        if rehearse is not None:
            return 0
        if parsable or not (silent or followed or interactive):  # else there is only its output
            emit(str(job) if parsable else f"Submitted {what} {job}")
        if followed:
            from mgpu.cli.follow import follow

            return follow(client, job, _wait)
        if interactive:
            sys.stdout.flush()
            return attend(client, job)
        return _wait(client, job) if wait else 0


def _check(
    options: dict[str, Any], *, wait: bool, test: bool, follow: bool, interactive: bool
) -> None:
    """Raise a usage error for what makes no sense together."""
    flags = {"wait": wait, "test-only": test, "follow": follow, "interactive": interactive}
    for name, given in flags.items():
        if options["cron"] and given:
            raise click.UsageError(f"--{name} and --cron cannot be used together")
    if options["array"] or options["params"] or options["param_file"]:
        if follow:
            hint = "follow a task with: mgpu_job log -f 42_7"
            raise click.UsageError(f"--follow is for one job; {hint}")
        if interactive:
            raise click.UsageError("--interactive is for one job, and this is an array")
    if interactive and options["error"]:
        raise click.UsageError("--error and --interactive: a terminal is for all of the output")
    if interactive and follow:
        raise click.UsageError("--follow and --interactive cannot be used together")


def _submit(
    client: Client,
    what: Program,
    options: dict[str, Any],
    rehearse: Callable[[Message], None] | None,
) -> int:
    options = {"exclusive": False, **options}  # mgpu_sbatch has no such option
    for name in ("command", "wrap"):
        del options[name]
    extras = _extras(options)
    return client.submit(
        what.words,
        time_limit=_time_limit(options.pop("time_limit"), options.pop("slurm_time")),
        cwd=options.pop("chdir"),
        activate=not options.pop("no_activate"),
        script=what.script,
        script_name=what.name,
        extras=extras,
        rehearse=rehearse,
        **options,
    )


def _show(request: Message) -> None:
    """Print what would be sent, but for the values of variables: they may be secret."""
    from mgpu.cli.rehearsal import shown

    emit(shown(request["spec"]))


def _foretell(client: Client, request: Message) -> None:
    """Ask what would become of it, and print that."""
    from mgpu.cli.rehearsal import foretold
    from mgpu.protocol.names import SUBMIT

    emit(foretold(client.request(SUBMIT, request | {"dry": True}).body))


def _extras(options: dict[str, Any]) -> dict[str, object]:
    """What the options of the groups say on the wire; they are taken out of ``options``."""
    slurms = options.pop("export_slurm")
    fields: dict[str, object] = {}
    if "tty" in options:
        fields["tty"] = options.pop("tty")
    if slurms is not None:
        fields["export_slurm"] = "yes" if slurms else "no"
    for group in GROUPS:
        fields |= group.extras(options)
    return fields


def _time_limit(seconds: int | None, slurm: int | None) -> int | None:
    if seconds is not None and slurm is not None:
        raise click.UsageError("--time and --time-limit say the same thing: give one of them")
    return slurm if seconds is None else seconds


def _wait(client: Client, job: int) -> int:
    sys.stdout.flush()  # whoever reads the id need not wait for the job
    try:
        ends = client.wait(job)
    except KeyboardInterrupt:
        complain(f"job {job} goes on; see it with: mgpu_queue --jobs {job}", label="note")
        return INTERRUPTED
    bad = [(name, end) for name, end in ends.items() if end.state != "COMPLETED"]
    for name, end in bad[:_MOST_NOTES]:
        complain(f"job {name} ended: {end.told()}", label="note")
    if len(bad) > _MOST_NOTES:
        complain(f"and {len(bad) - _MOST_NOTES} more", label="note")
    return max(end.exit_status for end in ends.values())


def main() -> NoReturn:
    """The program mgpu_srun."""
    run(srun)
